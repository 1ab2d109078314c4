"""phantom-ambiguous: which of two figures counts is told by the rest of the picture.

Mosaics of 5×5 tiles. Two figures, one red and one blue, stand on the ground; each is a bar in one of four directions,
which are the classes. The sky, the upper row, has one of the two hues: the figure of that hue tells the class. A window of
3×3 tiles that holds a figure holds nothing of the sky, so that what adds up the votes of such windows hears both figures
alike. In every fourth picture there is one figure, of the sky's hue, and nothing is ambiguous.

Who solves it (recipe `ambiguous`, five seeds): adding up tiles has 0.625 at most; the plain ResNet 0.55 (0.48 of the
ambiguous pictures, 0.74 of the clear ones); GAttANet with two passes 0.90, since the second can raise what is of the sky's
hue; with three 0.86, from 0.67 to 1.00; an oracle that knows the glyphs above 0.95.
"""

from pathlib import Path

import numpy as np

from lib.data.phantoms.cub_layout import Drawn, draw_cub_once
from lib.data.phantoms.glyph_drawing import BARS, Mosaic, drawn, shade

DEFAULT_IMAGES = 2400
VERSION = 1  # raise it whenever the same seed would draw other pictures
KINDS = BARS
SIDE = 5  # tiles
GROUND_ROWS = (3, 4)  # where figures stand: three tiles below the sky
SKIES = ("red", "blue")
CLEAR = 4  # one picture of a kind in so many has one figure
PARTS = ("figure", "rival")


def draw_ambiguous(root: Path, images: int = DEFAULT_IMAGES, seed: int = 0) -> Path:
    """Draw `images` mosaics of 40×40 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Every third of a kind is a test image. More images add pictures and change none.

    Raises:
        WorkbookValueError: `images` is too small for six of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    return draw_cub_once(
        root,
        "phantom-ambiguous",
        VERSION,
        KINDS,
        PARTS,
        images,
        seed,
        lambda kind, number: ambiguous(kind, number, seed),
    )


def ambiguous(kind: str, number: int, seed: int = 0) -> Drawn:
    """The picture and the truth of one mosaic: a function of its arguments alone. A clear one has no part "rival"."""
    rng = np.random.default_rng([seed, KINDS.index(kind), number])
    sky, other = rng.permutation(SKIES)
    mosaic = Mosaic(SIDE, SIDE)
    for column in range(SIDE):
        mosaic.put((0, column), "full", shade(sky, rng))
    figure, rival = _places(rng)
    mosaic.put(figure, kind, shade(sky, rng))
    parts: dict[str, tuple[float, float] | None] = {"figure": figure, "rival": None}
    if number % CLEAR != CLEAR - 1:
        mosaic.put(rival, rng.choice([name for name in KINDS if name != kind]), shade(other, rng))
        parts["rival"] = rival
    return drawn(mosaic, parts, rng)


def _places(rng: np.random.Generator) -> list[tuple[int, int]]:
    """Two tiles (row, column) of the ground."""
    tiles = [(row, column) for row in GROUND_ROWS for column in range(SIDE)]
    return [tiles[i] for i in rng.choice(len(tiles), size=2, replace=False)]
