"""phantom-patterns: drawn textures in drawn shapes, on disk exactly as CUB-200-2011 is, to train starting weights on.

A kind is the crossing of a texture and a shape, and none of these textures and shapes is in any set that is tested on.
Of all crossings every other one is a kind. What solves it is a network that sees both: a texture alone leaves three kinds
to guess among, a shape alone four.
"""

from pathlib import Path

import numpy as np

from lib.data.phantoms.cub_layout import Drawn, draw_cub_once
from lib.data.phantoms.others.pattern_drawing import SHAPES, TEXTURES, draw_pattern

DEFAULT_IMAGES = 2400
VERSION = 1  # raise it whenever the same seed would draw other pictures
SEED = 7_000_003  # no other set's
LEAST = 4  # images of a kind: fewer cannot be split into training, validation and test
KINDS = {
    f"{texture}_{shape}": (texture, shape)
    for row, texture in enumerate(TEXTURES)
    for column, shape in enumerate(SHAPES)
    if (row + column) % 2 == 0
}
PARTS = ("middle",)


def draw_patterns(root: Path, images: int = DEFAULT_IMAGES, seed: int = SEED) -> Path:
    """Draw `images` patterns of 160×120 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Raises:
        WorkbookValueError: `images` is too small for four of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """

    def draw(kind: str, number: int) -> Drawn:
        return pattern(kind, number, seed)

    return draw_cub_once(root, "phantom-patterns", VERSION, list(KINDS), PARTS, images, seed, draw, LEAST)


def pattern(kind: str, number: int, seed: int = SEED) -> Drawn:
    """The picture and the truth of one pattern: a function of its arguments alone."""
    return draw_pattern(*KINDS[kind], np.random.default_rng([seed, list(KINDS).index(kind), number]))
