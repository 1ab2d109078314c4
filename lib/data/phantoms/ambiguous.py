"""phantom-ambiguous: which of two figures counts is told by the rest of the picture; and phantom-clear, its control.

Mosaics of 5×5 tiles. Two figures, one red and one blue, stand on the ground; each is a bar in one of four directions,
which are the classes. The sky, the upper row, has one of the two hues: the figure of that hue tells the class. A window of
3×3 tiles that holds a figure holds nothing of the sky, so that what adds up the votes of such windows hears both figures
alike. In every fourth picture there is one figure, of the sky's hue, and nothing is ambiguous. phantom-clear is the same with
one figure in every picture: one place tells the class.

Who solves it (recipe `ambiguous`, which starts from weights that know other glyphs; five seeds): adding up tiles has 0.625
at most; the plain ResNet 0.60 (0.48 of the ambiguous pictures, 0.96 of the clear ones); GAttANet with two or three passes
1.00, since the second can raise what is of the sky's hue; an oracle that knows the glyphs above 0.95. From scratch, in twice
the epochs, they have 0.56, 0.88 and 0.93. Of phantom-clear (recipe `clear`) counts of patches have more than 0.7, the plain
ResNet 1.00, two passes 0.99 to 1.00.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from lib.data.phantoms.cub_layout import Drawn, draw_cub_once
from lib.data.phantoms.glyph_drawing import BARS, HUES, Mosaic, drawn, shade

DEFAULT_IMAGES = 2400
VERSION = 1  # raise it whenever the same seed would draw other pictures
KINDS = BARS
SIDE = 5  # tiles
GROUND_ROWS = (3, 4)  # where figures stand: three tiles below the sky
SKIES = ("red", "blue")
CLEAR = 4  # one picture of a kind in so many has one figure
PARTS = ("figure", "rival")
CLEAR_SEED = 1_000_005  # of phantom-clear, whose pictures are none of the clear ones of phantom-ambiguous


def draw_ambiguous(root: Path, images: int = DEFAULT_IMAGES, seed: int = 0) -> Path:
    """Draw `images` mosaics of 40×40 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Every third of a kind is a test image. More images add pictures and change none.

    Raises:
        WorkbookValueError: `images` is too small for six of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    return _draw(root, "phantom-ambiguous", images, seed, ambiguous)


def draw_clear(root: Path, images: int = DEFAULT_IMAGES, seed: int = CLEAR_SEED) -> Path:
    """`draw_ambiguous` for phantom-clear."""
    return _draw(root, "phantom-clear", images, seed, clear)


def _draw(root: Path, name: str, images: int, seed: int, draw: Callable[[str, int, int], Drawn]) -> Path:
    return draw_cub_once(root, name, VERSION, KINDS, PARTS, images, seed, lambda kind, number: draw(kind, number, seed))


def ambiguous(kind: str, number: int, seed: int = 0) -> Drawn:
    """The picture and the truth of one mosaic: a function of its arguments alone. A clear one has no part "rival"."""
    return _mosaic(kind, number, seed, has_rival=number % CLEAR != CLEAR - 1)


def clear(kind: str, number: int, seed: int = CLEAR_SEED) -> Drawn:
    """The same of phantom-clear, which never has a rival."""
    return _mosaic(kind, number, seed, has_rival=False)


def _mosaic(kind: str, number: int, seed: int, has_rival: bool) -> Drawn:
    rng = np.random.default_rng([seed, KINDS.index(kind), number])
    sky, other = rng.permutation(SKIES)
    mosaic = Mosaic(SIDE, SIDE)
    for column in range(SIDE):
        mosaic.put((0, column), "full", shade(HUES[sky], rng))
    figure, rival = _places(rng)
    mosaic.put(figure, kind, shade(HUES[sky], rng))
    parts: dict[str, tuple[float, float] | None] = {"figure": figure, "rival": None}
    if has_rival:
        mosaic.put(rival, rng.choice([name for name in KINDS if name != kind]), shade(HUES[other], rng))
        parts["rival"] = rival
    return drawn(mosaic, parts, rng)


def _places(rng: np.random.Generator) -> list[tuple[int, int]]:
    """Two tiles (row, column) of the ground."""
    tiles = [(row, column) for row in GROUND_ROWS for column in range(SIDE)]
    return [tiles[i] for i in rng.choice(len(tiles), size=2, replace=False)]
