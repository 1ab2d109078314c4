"""The page of a study: every run with its parameters, how it ended, and a link to its own page."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lib.files import write_text
from lib.progress import duration
from lib.report.pages.execution_records import Entry
from lib.report.pages.frame import write_page

OF_ATTENTION = ("fusion_strategy", "residual_strategy")  # parameters that play no role without it


@dataclass(frozen=True)
class StudyRun:
    """One run of a study; `entry` is None while it has not been executed."""

    folder: str  # its name below the report's `runs/`
    parameters: Mapping[str, Any]
    entry: Entry | None


def write_study(report: Path, name: str, title: str, runs: Sequence[StudyRun]) -> Path:
    """Write `studies/<name>.html`, and beside it what the index needs to link it."""
    statuses = Counter(run.entry.status if run.entry else "missing" for run in runs)
    varied = _varied(runs)
    page = report / "studies" / f"{name}.html"
    write_page(
        page,
        "study.html.j2",
        title=title,
        columns=varied,
        rows=[_row(run, varied) for run in runs],
        statuses=statuses,
        total=duration(sum(run.entry.duration for run in runs if run.entry)),
        fixed={name: value for name, value in runs[0].parameters.items() if name not in varied} if runs else {},
        date=datetime.now().strftime("%d %B %Y, %H:%M"),
    )
    write_text(page.with_suffix(".json"), json.dumps({"title": title, "runs": len(runs), "ok": statuses["ok"]}))
    return page


def _varied(runs: Sequence[StudyRun]) -> list[str]:
    """The parameters that are not the same in all runs."""
    names = list(runs[0].parameters) if runs else []
    return [name for name in names if len({repr(run.parameters.get(name)) for run in runs}) > 1]


def _row(run: StudyRun, varied: Sequence[str]) -> dict[str, Any]:
    entry = run.entry
    return {
        "values": [_value(run.parameters, name) for name in varied],
        "status": entry.status if entry else "missing",
        "duration": duration(entry.duration) if entry else "",
        "error": entry.error if entry else None,
        "page": quote(f"../runs/{run.folder}/index.html") if entry else None,
    }


def _value(parameters: Mapping[str, Any], name: str) -> Any:
    return "–" if name in OF_ATTENTION and parameters.get("attention") == "none" else parameters.get(name)
