"""phantom-needles: mosaics on disk exactly as CUB-200-2011 is, in which one small tile of 25 tells the class.

The needle is one of four codes, worn: each of its 16 squares is turned over with probability 0.1. The other tiles are
drawn at random. Where the needle is is known (`lib.data.sets.cub.load_parts`).
"""

from pathlib import Path

import numpy as np

from lib.data.phantoms.cub_layout import Drawn, write_cub
from lib.data.phantoms.draw_once import draw_once, too_few
from lib.data.phantoms.mosaic_drawing import CELLS, CODES, box_of, middle_of, picture_of, random_tiles, worn

DEFAULT_IMAGES = 3000
VERSION = 1  # raise it whenever the same seed would draw other pictures
LEAST = 6  # images of a kind: fewer cannot be split into training, validation and test
KINDS = dict(zip(("Alpha", "Beta", "Gamma", "Delta"), CODES, strict=False))  # name → code [4, 4]
PART = "needle"
WEAR = 0.1


def draw_needles(root: Path, images: int = DEFAULT_IMAGES, seed: int = 0) -> Path:
    """Draw `images` mosaics of 40×40 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Every third of a kind is a test image. More images add mosaics and change none.

    Raises:
        WorkbookValueError: `images` is too small for six of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    if images < LEAST * len(KINDS):
        raise too_few(images, f"{LEAST} of each of {len(KINDS)} kinds", LEAST * len(KINDS))

    def write(folder: Path) -> None:
        write_cub(folder, "phantom-needles", list(KINDS), [PART], images, lambda kind, n: needle(kind, n, seed))

    return draw_once(root, "phantom-needles", VERSION, images, seed, write)


def needle(kind: str, number: int, seed: int = 0) -> Drawn:
    """The picture and the truth of one mosaic: a function of its arguments alone."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    tiles, cell = random_tiles(rng), int(rng.integers(CELLS**2))
    tiles[cell] = worn(KINDS[kind], WEAR, rng)
    return Drawn(picture_of(tiles, rng), box_of(cell), {PART: (*middle_of(cell), True)})
