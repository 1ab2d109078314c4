"""How the last execution of a notebook ended: a small file beside the executed notebook."""

import json
import logging
import math
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from lib.errors import warn_once
from lib.files import write_text

log = logging.getLogger(__name__)


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
    """The record of the executed notebook at `executed`; None where there is none, or a damaged one, which is warned of."""
    record = executed.with_suffix(".json")
    try:
        return _checked(Entry(**json.loads(record.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        warn_once(log, f"{record} is damaged ({error}): its notebook counts as not executed")
        return None


def _checked(entry: Entry) -> Entry:
    """`entry`; raises a ValueError or TypeError for what no execution leaves."""
    datetime.fromisoformat(entry.finished)
    texts = (entry.status, entry.error or "", entry.code)
    if not all(isinstance(text, str) for text in texts) or not math.isfinite(entry.duration):
        raise ValueError("its fields are of other types")
    if not (isinstance(entry.parameters, dict) and isinstance(entry.inputs, dict)):
        raise ValueError("its parameters and inputs are no objects")
    return entry


def write_entry(executed: Path, entry: Entry) -> None:
    """Keep `entry` beside the executed notebook at `executed`."""
    write_text(executed.with_suffix(".json"), json.dumps(asdict(entry), indent=1))
