"""Block diagrams as SVG in the colour of the text around them: right on light and dark pages, on a wall and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from lib.report.figures.style import BLUE, ORANGE

WIDTH = 440  # of every diagram, in units of which a letter has 13: on a phone of 390 pixels it is still read
FONT, LINE, LETTER, MARGIN = 13, 17, 0.56, 8  # height of a letter and of a line; a letter's mean width, in heights
DASHES = ' stroke-dasharray="4 4"'
COLOURS = {"global": BLUE, "local": ORANGE, "plain": "currentColor"}


@dataclass(frozen=True)
class Box:
    """A box about (x, y), with lines of text."""

    x: float
    y: float
    text: str
    width: float
    kind: str = "plain"
    dashed: bool = False

    @property
    def height(self) -> float:
        return LINE * len(self.text.splitlines()) + 2 * MARGIN

    @property
    def needed(self) -> float:
        """The width that its longest line takes."""
        return max(map(len, self.text.splitlines())) * FONT * LETTER + MARGIN

    def drawn(self) -> Iterator[str]:
        left, top = self.x - self.width / 2, self.y - self.height / 2
        colour, dash = COLOURS[self.kind], DASHES * self.dashed
        frame = f'x="{left:g}" y="{top:g}" width="{self.width:g}" height="{self.height:g}" rx="6"'
        yield f'<rect {frame} fill="{colour}" fill-opacity="0.12" stroke="{colour}"{dash}/>'
        for number, line in enumerate(self.text.splitlines()):
            yield _text(self.x, top + MARGIN + LINE * number + FONT, line)

    def towards(self, x: float, y: float) -> tuple[float, float]:
        """Where a line from its middle to (x, y) leaves it."""
        dx, dy = x - self.x, y - self.y
        share = min(self.width / 2 / abs(dx) if dx else 1, self.height / 2 / abs(dy) if dy else 1)
        return self.x + share * dx, self.y + share * dy


@dataclass(frozen=True)
class Arrow:
    """A line through `points`, from a box to a box."""

    start: Box
    end: Box
    points: list[tuple[float, float]]
    label: str
    head: bool
    dashed: bool

    def drawn(self) -> Iterator[str]:
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in self.points)
        yield f'<path d="M{line}" stroke="currentColor" fill="none"{DASHES * self.dashed}/>'
        (x1, y1), (x2, y2) = self.points[-2:]
        if self.head:
            yield _head((x1, y1), (x2, y2))
        if self.label:
            steep = abs(y2 - y1) > abs(x2 - x1)
            x, y = ((x1 + x2) / 2 + 7, (y1 + y2) / 2 + 4) if steep else ((x1 + x2) / 2, (y1 + y2) / 2 - 6)
            yield _text(x, y, self.label, "start" if steep else "middle", FONT - 2)


@dataclass
class Diagram:
    """Boxes and the arrows between them; shows itself in a notebook, with `caption` for those who do not see it.

    ::

        diagram = Diagram(120, "What goes into what.")
        x, u = diagram.box(90, 30, "x"), diagram.box(90, 90, "u", kind="local")
        diagram.arrow(x, u, "3×3")
    """

    height: float
    caption: str
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)

    def box(self, x: float, y: float, text: str, width: float = 130, kind: str = "plain", dashed: bool = False) -> Box:
        """A new box about (x, y); `kind` is a name in `COLOURS`, dashed is what exists in training only."""
        self.boxes.append(Box(x, y, text, width, kind, dashed))
        return self.boxes[-1]

    def arrow(
        self, start: Box, end: Box, label: str = "", head: bool = True, dashed: bool = False, elbow: bool = False
    ) -> None:
        """A line from box to box, or with `elbow` straight down or up and then sideways; `label` beside its last piece."""
        corner = (start.x, end.y) if elbow else (end.x, end.y)
        points = [start.towards(*corner), *([corner] if elbow else [])]
        points.append(end.towards(*(corner if elbow else (start.x, start.y))))
        self.arrows.append(Arrow(start, end, points, label, head, dashed))

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        return {"text/html": self.svg(), "text/plain": self.caption}

    def svg(self) -> str:
        """One inline picture, as wide as the page lets it."""
        parts = [part for each in (*self.arrows, *self.boxes) for part in each.drawn()]
        size = f'viewBox="0 0 {WIDTH} {self.height:g}" style="width: 100%; max-width: 36rem; font-family: inherit"'
        return f'<svg role="img" aria-label="{escape(self.caption)}" {size}>{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "middle", size: float = FONT) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}" fill="currentColor"'
    return f"<text {place}>{escape(text)}</text>"


def _head(start: tuple[float, float], end: tuple[float, float]) -> str:
    """The head of an arrow that ends in `end`."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max((dx**2 + dy**2) ** 0.5, 1e-9)
    dx, dy = 7 * dx / length, 7 * dy / length
    back = [(end[0] - dx + side * dy / 2, end[1] - dy - side * dx / 2) for side in (1, -1)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [end, *back])
    return f'<polygon points="{points}" fill="currentColor"/>'
