"""What a notebook says about itself: its title, its question, its key figures and its best pictures."""

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode
from PIL import Image

from lib.report.pages.claims_strip import MIMETYPE as CLAIMS
from lib.report.pages.claims_strip import ClaimRow
from lib.report.pages.key_figures import MIMETYPE, KeyFigures
from lib.report.pages.markdown import plain_text

THUMBNAIL_PX = 360  # wide
THUMBNAILS = 3
VERDICT = "**Verdict.**"  # how the Markdown of a notebook's answer begins
END_OF_SENTENCE = r"(?<=[.!?])\s+(?=[A-Z`*(])"


@dataclass(frozen=True)
class Thumbnail:
    """A small picture for the index."""

    uri: str  # data:image/webp;base64,…
    alt: str
    anchor: str  # of the picture in its page: '#the-leaderboard-figure'
    width: int  # px
    height: int  # px

    @property
    def share(self) -> float:
        """How much of a row it gets: its aspect ratio, within limits."""
        return min(max(self.width / self.height, 1.0), 2.6)


def title(notebook: NotebookNode) -> str | None:
    """The first Markdown heading, as plain text."""
    heading = re.search(r"^#{1,6} +(.+?)[ #]*$", _prose(notebook), re.MULTILINE)
    return plain_text(heading[1]) if heading else None


def question(notebook: NotebookNode) -> str | None:
    """The first paragraph below the title, as Markdown."""
    *_, below = re.split(r"^#{1,6} .*$", _prose(notebook), maxsplit=1, flags=re.MULTILINE)
    paragraphs = (part.strip() for part in re.split(r"\n\s*\n", below))
    return next((part for part in paragraphs if part and not part.startswith(("#", "|", "```", "<", "---"))), None)


def key_figures(notebook: NotebookNode) -> KeyFigures:
    """What `show_key_figures` showed, all calls together, in order."""
    shown = [output.data[MIMETYPE] for output in _outputs(notebook) if MIMETYPE in output.get("data", {})]
    return [(name, value) for figures in shown for name, value in figures]


def verdict(notebook: NotebookNode) -> str | None:
    """The first sentence of what the notebook shows as its verdict, as Markdown: its answer."""
    texts = [output.data["text/markdown"].strip() for output in _outputs(notebook) if _is_verdict(output)]
    return re.split(END_OF_SENTENCE, texts[-1].removeprefix(VERDICT).strip(), maxsplit=1)[0] if texts else None


def claims(notebook: NotebookNode) -> list[ClaimRow]:
    """What `show_claims` showed, all calls together."""
    shown = [output.data[CLAIMS] for output in _outputs(notebook) if CLAIMS in output.get("data", {})]
    return [{name: str(row[name]) for name in ClaimRow.__annotations__} for rows in shown for row in rows]


def thumbnails(notebook: NotebookNode) -> list[Thumbnail]:
    """Up to three pictures: those marked `thumbnail`, else the last ones. `table_of_contents` has gone through the notebook."""
    exhibits = [output for output in _outputs(notebook) if "exhibit" in output.get("metadata", {})]
    pictures = [output for output in exhibits if "image/png" in output.data]
    marked = [output for output in pictures if output.metadata.get("thumbnail")]
    chosen = marked[:THUMBNAILS] or pictures[-THUMBNAILS:]
    return [_shrink(output) for output in chosen]


def _prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def _is_verdict(output: NotebookNode) -> bool:
    return output.get("data", {}).get("text/markdown", "").lstrip().startswith(VERDICT)


def _shrink(output: NotebookNode) -> Thumbnail:
    exhibit = output.metadata["exhibit"]
    with Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) as picture:
        picture.thumbnail((THUMBNAIL_PX, 2 * THUMBNAIL_PX), Image.Resampling.LANCZOS)
        small = io.BytesIO()
        picture.convert("RGBA").save(small, "WEBP", quality=88)
        uri = "data:image/webp;base64," + base64.b64encode(small.getvalue()).decode()
        return Thumbnail(uri, exhibit.name, f"#{exhibit.id}", *picture.size)
