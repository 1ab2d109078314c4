"""What a notebook says about itself: its title, its question, its key figures and its best pictures."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator

from nbformat import NotebookNode
from PIL import Image

from lib.report.key_figures import MIMETYPE

THUMBNAIL_PX = 360  # wide
THUMBNAILS = 3


def title(notebook: NotebookNode) -> str | None:
    """The first Markdown heading, as plain text."""
    heading = re.search(r"^#{1,6} +(.+?)[ #]*$", _prose(notebook), re.MULTILINE)
    return re.sub(r"[*_`]{1,3}(\S(?:.*?\S)?)[*_`]{1,3}", r"\1", heading[1]) if heading else None


def question(notebook: NotebookNode) -> str | None:
    """The first paragraph below the title, as Markdown."""
    heading = re.search(r"^#{1,6} .*$", _prose(notebook), re.MULTILINE)
    below = _prose(notebook)[heading.end() :] if heading else _prose(notebook)
    paragraphs = (part.strip() for part in re.split(r"\n\s*\n", below))
    return next((part for part in paragraphs if part and not part.startswith(("#", "|", "```", "<", "---"))), None)


def key_figures(notebook: NotebookNode) -> dict[str, str]:
    """What `show_key_figures` showed, all calls together, in order."""
    shown = [output.data[MIMETYPE] for output in _outputs(notebook) if MIMETYPE in output.get("data", {})]
    return {name: value for figures in shown for name, value in figures.items()}


def thumbnails(notebook: NotebookNode) -> list[tuple[str, str]]:
    """Up to three pictures as (data URI, alt text): those marked `thumbnail`, else the last ones."""
    pictures = [output for output in _outputs(notebook) if "image/png" in output.get("data", {})]
    marked = [output for output in pictures if _is_marked(output)]
    chosen = marked[:THUMBNAILS] or pictures[-THUMBNAILS:]
    return [(_shrink(output.data["image/png"]), alt_text(output) or "a figure of this notebook") for output in chosen]


def alt_text(output: NotebookNode, mimetype: str = "image/png") -> str | None:
    """The alternative text that the output's metadata carries for its picture."""
    return output.get("metadata", {}).get(mimetype, {}).get("alt")


def _is_marked(output: NotebookNode) -> bool:
    metadata = output.get("metadata", {})
    return bool(metadata.get("thumbnail") or metadata.get("image/png", {}).get("thumbnail"))


def _prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def _shrink(png: str) -> str:
    """A base64 PNG as the data URI of a small WebP."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        picture.thumbnail((THUMBNAIL_PX, 2 * THUMBNAIL_PX), Image.Resampling.LANCZOS)
        small = io.BytesIO()
        picture.convert("RGBA").save(small, "WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(small.getvalue()).decode()
