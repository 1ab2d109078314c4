"""How the last execution of a notebook ended: a small file beside the executed notebook."""

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lib.files import write_text


@dataclass(frozen=True)
class Entry:
    """How one execution ended, and what it rested on."""

    status: str  # 'ok', 'failed', 'died', 'timeout' or 'interrupted'
    duration: float  # seconds
    finished: str  # local time, ISO 8601
    parameters: dict[str, Any]
    error: str | None = None  # one line
    cell: int | None = None  # the n of In [n] that was running when it ended badly
    code: str = ""  # digest of the notebook, of what it imports, and of the parameters
    inputs: dict[str, str] = field(default_factory=dict)  # state of every file that was read, see lib.inputs


def read_entry(executed: Path) -> Entry | None:
    """The record of the executed notebook at `executed`; None where there is none, or none that can be read."""
    try:
        entry = Entry(**json.loads(executed.with_suffix(".json").read_text(encoding="utf-8")))
        datetime.fromisoformat(entry.finished)
        return replace(
            entry, duration=float(entry.duration), parameters=dict(entry.parameters), inputs=dict(entry.inputs)
        )
    except (OSError, ValueError, TypeError):
        return None


def write_entry(executed: Path, entry: Entry) -> None:
    """Keep `entry` beside the executed notebook at `executed`."""
    write_text(executed.with_suffix(".json"), json.dumps(asdict(entry), indent=1))
