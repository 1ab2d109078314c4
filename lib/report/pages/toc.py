"""What a page holds, from top to bottom: headings, and under them figures, tables and views, each with an address."""

import re
import textwrap
from dataclasses import dataclass

from nbformat import NotebookNode

from lib.report.pages.markdown import Heading, Page, strip_tags

SHOWN = ["text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/latex", "text/plain"]
PICTURES = [mimetype for mimetype in SHOWN if mimetype.startswith("image/")]
KINDS = {"figure": "view", "table": "table"}  # what a tag in an output's HTML says of it
SHORT = 90  # letters of a link


@dataclass(frozen=True)
class Exhibit:
    """A figure, a table, or a view (a figure that moves) of a page."""

    kind: str
    name: str  # its caption, or whose it is
    id: str

    @property
    def short(self) -> str:
        """Its name as the text of a link."""
        return textwrap.shorten(self.name.partition(";")[0].rstrip("."), SHORT, placeholder=" …")


def table_of_contents(notebook: NotebookNode) -> list[Heading | Exhibit]:
    """Headings and exhibits in order. Leaves in the metadata of each Markdown cell its `html`, of each output its
    `exhibit`."""
    page, places = Page(), []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            before = len(page.headings)
            cell.metadata["html"] = page.render(cell.source, cell.get("attachments"))
            places += page.headings[before:]
        for output in cell.get("outputs", []):
            if exhibit := _exhibit(output, page):
                output.metadata["exhibit"] = exhibit
                places.append(exhibit)
    return places


def _exhibit(output: NotebookNode, page: Page) -> Exhibit | None:
    """What `output` shows; its address tells the heading above, so that it outlives a change of caption or data."""
    data = output.get("data", {})
    shown = next((mimetype for mimetype in SHOWN if mimetype in data), None)
    tag = re.search(r"<(figure|table)\b", data[shown]) if shown == "text/html" else None
    kind = "figure" if shown in PICTURES else KINDS[tag[1]] if tag else None
    if kind is None:
        return None
    above = page.headings[-1].text if page.headings else "this notebook"
    name = _alt(output) or (kind == "table" and _caption(data[shown])) or f"A {kind} of {above}"
    return Exhibit(kind, name, page.address(f"{above} {kind}"))


def _alt(output: NotebookNode) -> str | None:
    """The alternative text of its picture."""
    texts = (output.metadata.get(mimetype, {}).get("alt") for mimetype in PICTURES)
    return next(filter(None, texts), None)


def _caption(html: str) -> str | None:
    caption = re.search(r"<caption\b[^>]*>(.*?)</caption>", html, re.DOTALL)
    return strip_tags(caption[1]).strip() if caption else None
