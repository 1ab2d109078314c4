"""phantom-glyphs-other: mosaics of glyphs that no task has, to train starting weights on.

A kind is a glyph in a colour, and each tile of a picture of 5×5 shows it, lighter or darker: any one tile tells the class,
and nothing has to be brought together. The glyphs are bars in eight directions, 15° or more from the four of phantom-scales,
phantom-ambiguous and phantom-clear, a ring and a square; the colours are five hues between the tasks' three, and grey. On disk
exactly as CUB-200-2011 is. Who holds each tile against the kinds' own solves it, and so does any network that sees a tile.
"""

from itertools import product
from pathlib import Path

import numpy as np

from lib.data.phantoms.cub_layout import Drawn, draw_cub_once
from lib.data.phantoms.glyph_drawing import Mosaic, bar, drawn, radius, shade

DEFAULT_IMAGES = 7200
VERSION = 1  # raise it whenever the same seed would draw other pictures
SEED = 7_000_011  # no other set's
LEAST = 4  # images of a kind: fewer cannot be split into training, validation and test
SIDE = 5  # tiles
OTHER_BARS = {f"bar {degrees:03}": bar(degrees) for degrees in (15, 30, 60, 75, 105, 120, 150, 165)}
OTHER_GLYPHS = {
    **OTHER_BARS,
    "ring": (radius() > np.sqrt(3)) & (radius() < np.sqrt(12)),
    "square": radius(np.inf) < 2,
}
OTHER_HUES = {
    "grey": (190, 190, 190),
    "orange": (205, 140, 50),
    "yellow": (190, 190, 60),
    "teal": (50, 160, 165),
    "violet": (150, 70, 190),
    "pink": (205, 70, 160),
}
KINDS = {f"{hue} {glyph}": (hue, glyph) for hue, glyph in product(OTHER_HUES, OTHER_GLYPHS)}
PARTS = ("middle",)


def draw_other_glyphs(root: Path, images: int = DEFAULT_IMAGES, seed: int = SEED) -> Path:
    """Draw `images` mosaics of 40×40 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Raises:
        WorkbookValueError: `images` is too small for four of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """

    def draw(kind: str, number: int) -> Drawn:
        return other_glyph(kind, number, seed)

    return draw_cub_once(root, "phantom-glyphs-other", VERSION, list(KINDS), PARTS, images, seed, draw, LEAST)


def other_glyph(kind: str, number: int, seed: int = SEED) -> Drawn:
    """The picture and the truth of one mosaic: a function of its arguments alone."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    hue, glyph = KINDS[kind]
    mosaic = Mosaic(SIDE, SIDE, OTHER_GLYPHS)
    for place in np.ndindex(SIDE, SIDE):
        mosaic.put(place, glyph, shade(OTHER_HUES[hue], rng))
    return drawn(mosaic, {"middle": (SIDE // 2, SIDE // 2)}, rng)
