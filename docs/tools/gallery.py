"""A hook of mkdocs: the executed notebooks of a report, as cards on gallery.md and whole, their views alive."""

import re
from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from lib.paths import NOTEBOOKS, ROOT
from lib.report.pages import notebook_summary as summary
from lib.report.pages.execution_records import Entry
from lib.report.pages.frame import content_security
from lib.report.pages.index_page import read_entries
from lib.report.pages.markdown import render_untrusted
from lib.report.pages.notebook_page import read_executed
from lib.report.pages.toc import table_of_contents

CARDS, EXPLORER = "<!-- cards -->", "<!-- explorer -->"  # what pages say where these are to stand
EXPLORED = "02_glsa_training"  # the notebook whose explorer stands on the first page
SHOWN = {".html", ".ipynb", ".csv", ".tex"}
NOT_EXECUTED = "Not executed yet: `make report`, then `make docs`."
ALIVE = (
    """<iframe class="explorer" src="report/explorer.html" title="The attention explorer" loading="lazy"></iframe>"""
)
STILL = """![The attention explorer](assets/explorer.webp)"""
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
ABSENT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>{told}</html>"""
FRAME = """<!doctype html><html lang="en"><meta charset="utf-8"><title>The attention explorer</title>
<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" content="{security}">
<meta name="color-scheme" content="light dark"><style>body {{ font: 16px system-ui; margin: 0 4px }}</style>{view}</html>"""


def report_folder(config: MkDocsConfig) -> Path:
    """Where the report is that the gallery shows."""
    return ROOT / config.extra["report"]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """`files` and those of the report, below report/; the explorer of its first page by itself."""
    report = report_folder(config)
    for path in sorted(report.rglob("*")):
        if path.suffix in SHOWN:
            files.append(File.generated(config, f"report/{path.relative_to(report)}", abs_src_path=str(path)))
    for path in NOTEBOOKS.glob("[0-9]*.ipynb"):
        if not (report / f"{path.stem}.html").exists():  # pages of the others may lead there
            page = ABSENT.format(title=path.stem, told=render_untrusted(NOT_EXECUTED))
            files.append(File.generated(config, f"report/{path.stem}.html", content=page))
    if view := explorer(report):
        page = FRAME.format(security=content_security(*SCRIPT.findall(view)), view=view)
        files.append(File.generated(config, "report/explorer.html", content=page))
    return files


def on_page_markdown(markdown: str, config: MkDocsConfig, page: Page, **_) -> str:
    """`markdown` with what CARDS and EXPLORER stand for."""
    if CARDS in markdown:
        markdown = markdown.replace(CARDS, "\n".join(cards(report_folder(config))))
    if EXPLORER in markdown:
        markdown = markdown.replace(EXPLORER, ALIVE if explorer(report_folder(config)) else STILL)
    return markdown


def explorer(report: Path) -> str | None:
    """The HTML of the explorer in the executed notebook EXPLORED; None where there is none."""
    executed = report / "notebooks" / f"{EXPLORED}.ipynb"
    if not executed.exists():
        return None
    outputs = [output for cell in nbformat.read(executed, as_version=4).cells for output in cell.get("outputs", [])]
    shown = [output.get("data", {}).get("text/html", "") for output in outputs]
    return next((html for html in shown if "attention-view" in html), None)


def cards(report: Path) -> Iterable[str]:
    """A card a notebook, in order: executed in `report`, or as the repository holds it."""
    entries = read_entries(report)
    yield '<div class="cards">'
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        yield _card(report, path, entries.get(path.stem))
    yield "</div>"


def _card(report: Path, path: Path, entry: Entry | None) -> str:
    notebook = read_executed(report / "notebooks" / path.name if entry else path)
    table_of_contents(notebook)  # marks what may be a thumbnail
    title = f"{path.stem[:2]} · {escape(summary.title(notebook) or path.stem)}"
    lines = [render_untrusted(text) for text in (summary.question(notebook), summary.verdict(notebook)) if text]
    if entry:
        title = f'<a href="report/{path.stem}.html">{title}</a>'
        lines.insert(0, _picture(path.stem, summary.thumbnails(notebook)))
    told = _told(entry) if entry else NOT_EXECUTED
    return (
        f'<article><h2 id="{path.stem}">{title}</h2>{"".join(lines)}<small>{render_untrusted(told)}</small></article>'
    )


def _picture(stem: str, pictures: list[summary.Thumbnail]) -> str:
    if not pictures:
        return ""
    first = pictures[0]
    return f'<a href="report/{stem}.html{first.anchor}"><img src="{first.uri}" alt="{escape(first.alt)}"></a>'


def _told(entry: Entry) -> str:
    date = datetime.fromisoformat(entry.finished).strftime("%d %B %Y")
    profile = (
        f", profile {entry.parameters['profile']}" if entry.parameters.get("profile") else ""
    )  # a protocol has its own
    return f"Executed on {date}{profile}, in {entry.duration:.0f} s" + (
        "" if entry.status == "ok" else f": {entry.status}"
    )
