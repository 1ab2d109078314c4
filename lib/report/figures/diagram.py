"""Diagrams of a mechanism: boxes on a grid and arrows between them, as one SVG that is legible in light and in dark.

::

    boxes = [Box("x", 0, 1, "x", "[B, C, h, w]", "data"), Box("mlp", 1, 1, "MLP", "learned", "learned")]
    show_diagram(diagram(boxes, [Arrow("x", "mlp")], "What an MLP is fed."), "A map goes through an MLP.")

The picture has a ground of its own, which changes with its ink, so that it can be read wherever it is put.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from lib.errors import choose
from lib.report.figures.style import literal

CELL = (140, 84)  # px, a column and a row: three columns fit on a phone
BOX = (116, 46)  # px, a box in the middle of its cell
LINE = 15  # px, by which a further line of small letters makes a box higher
MARGIN = 8  # px
# What is given, what has weights, what has none, what comes out, and (dashed) what there is in training only.
KINDS = ("data", "learned", "fixed", "answer", "training")
STYLE = """
.ground{fill:#fff}.ink{fill:#22262e}.soft{fill:#5d6573}.line{stroke:#5d6573;fill:none}.tip{fill:#5d6573}
.data{fill:#f3f4f5;stroke:#8a9199}.learned{fill:#e4edf7;stroke:#2f6db3}.fixed{fill:#fff;stroke:#8a9199}
.answer{fill:#fdf0e2;stroke:#d9822b}.training{fill:#fff;stroke:#8a9199;stroke-dasharray:5 3}
@media (prefers-color-scheme:dark){.ground{fill:#1c1f24}.ink{fill:#dfe2e7}.soft{fill:#a5adba}.line{stroke:#a5adba}
.tip{fill:#a5adba}.data{fill:#262b32}.learned{fill:#1d3450;stroke:#8ab4de}.fixed{fill:#1c1f24}
.answer{fill:#43301a;stroke:#d9a566}.training{fill:#1c1f24}}
text{font-family:-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;text-anchor:middle}
"""


@dataclass(frozen=True)
class Box:
    """A step of the mechanism at a column and a row of the grid (halves are allowed)."""

    name: str  # for arrows
    column: float
    row: float
    title: str
    below: str = ""  # further lines in small letters, such as the shape
    kind: str = "fixed"  # one of KINDS
    wide: float = 1  # columns

    @property
    def centre(self) -> tuple[float, float]:
        """px"""
        return MARGIN + (self.column + 0.5) * CELL[0], MARGIN + (self.row + 0.5) * CELL[1]

    @property
    def size(self) -> tuple[float, float]:
        """px"""
        return BOX[0] + (self.wide - 1) * CELL[0], BOX[1] + self.below.count("\n") * LINE


@dataclass(frozen=True)
class Arrow:
    """From one box to another, first along the row, or, with `column_first`, along the column; or `via` a column (halves and
    less are allowed), along the row to it, along it, and along the other row."""

    source: str
    target: str
    label: str = ""
    column_first: bool = False
    via: float | None = None


def diagram(boxes: Sequence[Box], arrows: Sequence[Arrow], title: str) -> str:
    """The SVG; `title` is what a screen reader says.

    Raises:
        WorkbookValueError: a kind that is none of KINDS, or an arrow from or to a box that is not there.
    """
    named = {box.name: box for box in boxes}
    width = 2 * MARGIN + CELL[0] * (1 + max(box.column for box in boxes))
    height = 2 * MARGIN + CELL[1] * (1 + max(box.row for box in boxes))
    drawn = [
        _arrow(arrow, *(named[choose("box", end, named)] for end in (arrow.source, arrow.target))) for arrow in arrows
    ]
    drawn += [_box(box) for box in boxes]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img"><title>{escape(title)}</title><style>{STYLE}</style>'
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>'
        f'<rect class="ground" width="100%" height="100%" rx="8"/>{"".join(drawn)}</svg>'
    )


def show_diagram(svg: str, caption: str) -> None:
    """Display a diagram with its one-sentence caption, which is its alt text too."""
    from IPython.display import Markdown, display

    bundle = {"image/svg+xml": svg, "text/plain": caption}
    display(bundle, metadata={"image/svg+xml": {"alt": caption}}, raw=True)
    display(Markdown(f"*{literal(caption)}*"))


def _box(box: Box) -> str:
    (x, y), (width, height) = box.centre, box.size
    kind, left, top = choose("kind", box.kind, KINDS), x - width / 2, y - height / 2
    frame = f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="6"/>'
    if not box.below:
        return frame + _text(x, y + 5, box.title, 14)
    lines = [_text(x, top + 37 + LINE * i, line, 11, "soft") for i, line in enumerate(box.below.split("\n"))]
    return frame + _text(x, top + 20, box.title, 14) + "".join(lines)


def _arrow(arrow: Arrow, source: Box, target: Box) -> str:
    """A line with one corner at most, or two where it has a column of its own, from edge to edge."""
    (x, y), (to_x, to_y) = source.centre, target.centre
    corners = [(x, to_y) if arrow.column_first else (to_x, y)]
    if arrow.via is not None:
        lane = MARGIN + (arrow.via + 0.5) * CELL[0]
        corners = [(lane, y), (lane, to_y)]
    points = list(dict.fromkeys([(x, y), *corners, (to_x, to_y)]))
    points[0], points[-1] = _edge(source, points[1]), _edge(target, points[-2])
    path = "M" + "L".join(f"{px:g} {py:g}" for px, py in points)
    line = f'<path class="line" stroke-width="1.4" marker-end="url(#tip)" d="{path}"/>'
    if not arrow.label:
        return line
    (ax, ay), (bx, by) = points[:2]
    beside = (0, -6) if ay == by else (6 + 3.2 * len(arrow.label), 4)
    return line + _text((ax + bx) / 2 + beside[0], (ay + by) / 2 + beside[1], arrow.label, 11, "soft")


def _edge(box: Box, towards: tuple[float, float]) -> tuple[float, float]:
    """Where the straight way from the box's centre leaves the box."""
    (x, y), (width, height), (to_x, to_y) = box.centre, box.size, towards
    if x == to_x:
        return x, y + (height / 2 if to_y > y else -height / 2)
    return x + (width / 2 if to_x > x else -width / 2), y


def _text(x: float, y: float, text: str, size: float, kind: str = "ink") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" font-size="{size}">{escape(text)}</text>'
