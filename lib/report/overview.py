"""The report's first page, and the record of how each notebook's last run ended, from which it is made."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from lib.errors import WorkbookValueError
from lib.files import write_text
from lib.progress import duration
from lib.report import digest
from lib.report.html import CONTENT_SECURITY, TEMPLATES, read_executed, style
from lib.report.markdown import render_untrusted

PROJECT = "Global-local visual attention"
SETTINGS = ("profile", "dataset")  # parameters that the page's head tells
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "scikit-learn", "papermill", "nbconvert")


@dataclass(frozen=True)
class Entry:
    """How the last run of one notebook ended."""

    status: str  # 'ok', 'failed', 'died', 'timeout' or 'interrupted'
    duration: float  # seconds
    finished: str  # local time, ISO 8601
    parameters: dict[str, Any]
    error: str | None = None  # one line


def read_entries(report: Path) -> dict[str, Entry]:
    """The record in the folder `report`, by the notebook's stem; empty where there is none yet.

    Raises:
        WorkbookValueError: the record cannot be read.
    """
    path = report / "status.json"
    if not path.exists():
        return {}
    try:
        return {stem: Entry(**entry) for stem, entry in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, AttributeError):
        raise WorkbookValueError(f"{path} is damaged. Delete it and run again.") from None


def record(report: Path, stem: str, entry: Entry) -> None:
    """Note `entry` in the folder `report`; the other notebooks' entries stay."""
    entries = {**read_entries(report), stem: entry}
    text = json.dumps({stem: asdict(entries[stem]) for stem in sorted(entries)}, indent=1)
    write_text(report / "status.json", text)


def write_index(report: Path) -> Path:
    """Write index.html from the record and from the executed notebooks; one that is gone is left out."""
    entries = {stem: entry for stem, entry in read_entries(report).items() if _executed(report, stem).exists()}
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    html = environment.get_template("overview.html.j2").render(
        project=PROJECT,
        security=CONTENT_SECURITY,
        style=style(),
        cards=[_card(report, stem, entry) for stem, entry in entries.items()],
        done=sum(entry.status == "ok" for entry in entries.values()),
        total=duration(sum(entry.duration for entry in entries.values())),
        settings=_settings(entries.values()),
        date=datetime.now().strftime("%d %B %Y"),
        versions=[f"Python {platform.python_version()}", *_versions()],
    )
    write_text(report / "index.html", html)
    return report / "index.html"


def _executed(report: Path, stem: str) -> Path:
    return report / "notebooks" / f"{stem}.ipynb"


def _card(report: Path, stem: str, entry: Entry) -> dict[str, Any]:
    notebook = read_executed(_executed(report, stem))
    number, _, name = stem.partition("_")
    question = digest.question(notebook)
    return {
        "number": number,
        "title": digest.title(notebook) or name.replace("_", " "),
        "question": question and render_untrusted(question),
        "key_figures": digest.key_figures(notebook),
        "thumbnails": digest.thumbnails(notebook),
        "status": entry.status,
        "error": entry.error,
        "duration": duration(entry.duration),
        "finished": datetime.fromisoformat(entry.finished).strftime("%d %B %Y, %H:%M"),
        "page": f"{stem}.html",
        "notebook": f"notebooks/{stem}.ipynb",
    }


def _settings(entries: Iterable[Entry]) -> dict[str, list[str]]:
    """The profiles and the data sets of all runs: several, where notebooks were run at different times."""
    entries = list(entries)
    found = {name: sorted({str(e.parameters[name]) for e in entries if name in e.parameters}) for name in SETTINGS}
    return {name: values for name, values in found.items() if values}


def _versions() -> Iterable[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
