"""The report's first page: the claims and their verdicts, a card a notebook with its answer first, and the studies."""

import logging
import platform
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nbformat import NotebookNode

from lib.errors import WorkbookFileError, warn_once
from lib.files import from_json
from lib.progress import duration
from lib.report.pages import notebook_summary
from lib.report.pages.execution_records import Entry, read_entry
from lib.report.pages.frame import write_page
from lib.report.pages.key_figures import for_card, key_figures_html
from lib.report.pages.markdown import render_untrusted
from lib.report.pages.notebook_page import read_executed
from lib.report.pages.toc import Exhibit, table_of_contents

log = logging.getLogger(__name__)

PROJECT = "Global-local visual attention"
SETTINGS = ("profile", "dataset")  # parameters that the page's head tells
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "scikit-learn", "papermill", "nbconvert")


def write_index(report: Path) -> Path:
    """Write index.html from the executed notebooks and their records."""
    entries = read_entries(report)
    cards = [card for stem, entry in entries.items() if (card := _card(report, stem, entry))]
    page = report / "index.html"
    write_page(
        page,
        "overview.html.j2",
        project=PROJECT,
        cards=cards,
        pages={card["stem"]: card["page"] for card in cards},
        done=sum(card["status"] == "ok" for card in cards),
        total=duration(sum(entry.duration for entry in entries.values())),
        studies=_studies(report),
        settings=_settings(entries.values()),
        date=datetime.now().strftime("%d %B %Y"),
        versions=[f"Python {platform.python_version()}", *_versions()],
    )
    return page


def read_entries(report: Path) -> dict[str, Entry]:
    """The records of the notebooks in the folder `report`, by their stems."""
    executed = sorted((report / "notebooks").glob("*.ipynb"))
    return {path.stem: entry for path in executed if (entry := read_entry(path))}


def _studies(report: Path) -> list[dict[str, Any]]:
    """What `write_study` left for each study: its name, title, and number of runs; damaged ones are told."""
    studies = []
    for path in sorted((report / "studies").glob("*.json")):
        try:
            left = from_json(path.read_text(encoding="utf-8"))
            studies.append({"name": path.stem, **{key: left[key] for key in ("title", "runs", "ok")}})
        except (OSError, ValueError, LookupError, TypeError):
            warn_once(log, f"{path} is damaged, and its study has no entry: run the study again.")
    return studies


def _card(report: Path, stem: str, entry: Entry) -> dict[str, Any] | None:
    """What the page tells of a notebook; None, which is told, where that is damaged."""
    executed = report / "notebooks" / f"{stem}.ipynb"
    number, _, name = stem.partition("_")
    try:
        content = _content(read_executed(executed))
    except WorkbookFileError as error:
        return warn_once(log, str(error))
    except Exception as error:  # whatever comes of damage to what it shows
        what = textwrap.shorten(f"{type(error).__name__}: {error}", 200)
        return warn_once(log, f"{executed} is damaged ({what}): execute the notebook again.")
    return {
        "stem": stem,
        "number": number,
        "title": name.replace("_", " "),
        "status": entry.status,
        "error": entry.error,
        "duration": duration(entry.duration),
        "finished": datetime.fromisoformat(entry.finished).strftime("%d %B %Y, %H:%M"),
        "page": quote(f"{stem}.html"),
        "notebook": quote(f"notebooks/{stem}.ipynb"),
        **content,
    }


def _content(notebook: NotebookNode) -> dict[str, Any]:
    """What the page tells of what a notebook shows."""
    question, verdict = notebook_summary.question(notebook), notebook_summary.verdict(notebook)
    figures = for_card(notebook_summary.key_figures(notebook))
    places = table_of_contents(notebook)
    return {
        **({"title": title} if (title := notebook_summary.title(notebook)) else {}),
        "question": question and render_untrusted(question),
        "verdict": verdict and render_untrusted(verdict),
        "claims": notebook_summary.claims(notebook),
        "key_figures": figures and key_figures_html(figures),
        "places": [place for place in places if isinstance(place, Exhibit) or 1 < place.level <= 3],
        "held": _count(place.kind for place in places if isinstance(place, Exhibit)),
        "thumbnails": notebook_summary.thumbnails(notebook),
    }


def _count(kinds: Iterable[str]) -> str:
    """'5 figures, 1 view, 2 tables'"""
    return ", ".join(f"{n} {kind}{'s' * (n > 1)}" for kind, n in Counter(kinds).items())


def _settings(entries: Collection[Entry]) -> dict[str, list[str]]:
    """The profiles and the data sets of all runs that were given any: several, where notebooks were run at different
    times."""
    given = {name: [entry.parameters.get(name) for entry in entries] for name in SETTINGS}
    told = {name: sorted({str(value) for value in values if value is not None}) for name, values in given.items()}
    return {name: values for name, values in told.items() if values}


def _versions() -> Iterable[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
