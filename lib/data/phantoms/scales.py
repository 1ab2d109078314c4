"""phantom-scales: one half of the classes is told by the neighbourhood, the other half by the context.

Mosaics of 5×5 tiles with a bar in one of four directions on each. In "motif" and "mirror" three neighbouring bars
of every row turn from each tile to the next on its right, by an eighth of a turn, clockwise or anticlockwise; where they begin is
random, as are all other bars, so that every bar is as frequent everywhere: what tells is which bar stands next to the left of
which. In "same" and "different" two tiles are discs, three tiles apart or more, of one hue or of two: no window of 3×3 tiles
holds both.

Who solves it (recipe `scales`, which starts from weights that know other glyphs; five seeds): adding up tiles has 0.5 to
0.58; the plain ResNet 0.75, all of the first half and chance in the second, for it sees windows of 3×3 tiles one by one;
self-attention 0.75 in two seeds, the other way round, and 0.89 to 1.00 in three, which have learned where to look for a
neighbour; LESA 0.96 (0.89 to 1.00); an oracle that knows the glyphs above 0.95. From scratch, in four epochs, LESA 0.97.
"""

from pathlib import Path

import numpy as np

from lib.data.phantoms.cub_layout import Drawn, draw_cub_once
from lib.data.phantoms.glyph_drawing import HUES, Mosaic, drawn, shade

DEFAULT_IMAGES = 2400
VERSION = 1  # raise it whenever the same seed would draw other pictures
NEIGHBOURHOOD, CONTEXT = ("motif", "mirror"), ("same", "different")
KINDS = (*NEIGHBOURHOOD, *CONTEXT)
SIDE = 5  # tiles
TURNING = ("row", "falling", "column", "rising")  # of BARS, each an eighth of a turn clockwise from the one before
RUN = 3  # bars of a row that turn
APART = 3  # tiles between two discs, in rows or in columns, at least
PARTS = (*(f"run {i}" for i in range(1, SIDE + 1)), "disc 1", "disc 2")  # of a run its middle


def draw_scales(root: Path, images: int = DEFAULT_IMAGES, seed: int = 0) -> Path:
    """Draw `images` mosaics of 40×40 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Every third of a kind is a test image. More images add pictures and change none.

    Raises:
        WorkbookValueError: `images` is too small for six of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    return draw_cub_once(
        root, "phantom-scales", VERSION, KINDS, PARTS, images, seed, lambda kind, number: scales(kind, number, seed)
    )


def scales(kind: str, number: int, seed: int = 0) -> Drawn:
    """The picture and the truth of one mosaic: a function of its arguments alone."""
    rng = np.random.default_rng([seed, KINDS.index(kind), number])
    bars = rng.integers(len(TURNING), size=(SIDE, SIDE))
    parts: dict[str, tuple[float, float] | None] = dict.fromkeys(PARTS)
    if kind in NEIGHBOURHOOD:
        step = 1 if kind == "motif" else -1
        for row, first in enumerate(rng.integers(SIDE - RUN + 1, size=SIDE)):
            bars[row, first : first + RUN] = (bars[row, first] + step * np.arange(RUN)) % len(TURNING)
            parts[PARTS[row]] = (row, int(first) + RUN // 2)
    mosaic = Mosaic(SIDE, SIDE)
    for place in np.ndindex(SIDE, SIDE):
        mosaic.put(place, TURNING[bars[place]], np.full(3, rng.uniform(165, 210)))
    if kind in CONTEXT:
        hues = rng.choice(list(HUES), size=2, replace=False)
        for i, place in enumerate(_apart(rng)):
            mosaic.put(place, "disc", shade(HUES[hues[i if kind == "different" else 0]], rng))
            parts[f"disc {i + 1}"] = place
    return drawn(mosaic, parts, rng)


def _apart(rng: np.random.Generator) -> list[tuple[int, int]]:
    """Two tiles (row, column), APART or more from each other."""
    while True:
        places = rng.integers(SIDE, size=(2, 2))
        if abs(places[0] - places[1]).max() >= APART:
            return [(int(row), int(column)) for row, column in places]
