"""phantom-needles: mosaics on disk exactly as CUB-200-2011 is, in which one small tile of 25 tells the class.

The needle is one of four codes, worn: each of its 16 squares is turned over with probability 0.1. The other tiles are
drawn at random. Where the needle is is known (`lib.data.sets.cub.load_parts`).

Who knows the codes is right in 0.875 of the test images: a worn needle can be less like itself than some tile of 25 is by
chance. A logistic regression on pixels gets 0.35, where chance is 0.25: the needle is 4 % of what it sees, and anywhere.
A bag of 64 visual words gets 0.60, one of 256 words 0.72: its words are for tiles at random. A ViT of two blocks finds the
needle by supervision and gets 0.80 (0.77 to 0.83 in five seeds of the recipe `needles`); with GLCA 0.79 (0.76 to 0.83). There is room up to the codes' reader,
but it is not one of depth: as its class token alone is read, GLCA is another look at all patches whatever it selects
(`lib.dcal.model`), and in two seeds a third block in its place gets 0.80 and 0.81, and GLCA that reads the patches it
selects 0.80 and 0.82, where two blocks alone get 0.81 and 0.83.
"""

from pathlib import Path

import numpy as np

from lib.data.phantoms.cub_layout import Drawn, draw_cub_once
from lib.data.phantoms.mosaic_drawing import CODES, box_of, middle_of, picture_of, random_tiles, worn

DEFAULT_IMAGES = 3000
VERSION = 1  # raise it whenever the same seed would draw other pictures
TILES = 5  # a side of the picture
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
    return draw_cub_once(
        root, "phantom-needles", VERSION, list(KINDS), [PART], images, seed, lambda kind, n: needle(kind, n, seed)
    )


def needle(kind: str, number: int, seed: int = 0) -> Drawn:
    """The picture and the truth of one mosaic: a function of its arguments alone."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    tiles, place = random_tiles(TILES, rng), int(rng.integers(TILES**2))
    tiles[place] = worn(KINDS[kind], WEAR, rng)
    return Drawn(picture_of(tiles, rng), box_of(place, TILES), {PART: (*middle_of(place, TILES), True)})
