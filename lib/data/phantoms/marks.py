"""phantom-marks: mosaics on disk exactly as CUB-200-2011 is, whose training images carry a mark that is easier to learn
than what tells the class, and whose test images do not.

One tile of 16 is the needle, one of four codes, worn as those of phantom-needles are. In training images another tile is a
mark, a code without wear: Alpha and Beta share one mark, Gamma and Delta the other. With it the needle has to tell two
kinds apart, without it four. Where needle and mark are is known (`lib.data.sets.cub.load_parts`); in test images the mark
is a part that cannot be seen.

In the test who knows the codes is right in 0.92, and in training the mark tells which two kinds it may be in 0.98 and
more. A logistic regression on pixels gets 0.40, where chance is 0.25; a bag of 64 visual words, which weighs them all,
0.71, of 256 words 0.75. A ViT of two blocks is misled: right in 0.93 to 0.94 of validation, whose images have their mark,
it gets 0.50 in the test (0.46 to 0.54 in five seeds of the recipe `marks`), which is what a mark leaves two kinds; with
PWCA 0.53 (0.47 to 0.63).
"""

from pathlib import Path

import numpy as np

from lib.data.phantoms.cub_layout import Drawn, draw_cub_once, is_test
from lib.data.phantoms.mosaic_drawing import CODES, box_of, middle_of, picture_of, random_tiles, worn

DEFAULT_IMAGES = 2700
VERSION = 2  # raise it whenever the same seed would draw other pictures
TILES = 4  # a side of the picture
KINDS = dict(zip(("Alpha", "Beta", "Gamma", "Delta"), CODES[4:], strict=False))  # name → code [4, 4] of the needle
MARKS = dict(zip(KINDS, CODES[[8, 8, 9, 9]], strict=True))
PARTS = ("needle", "mark")
WEAR = 0.1


def draw_marks(root: Path, images: int = DEFAULT_IMAGES, seed: int = 0) -> Path:
    """Draw `images` mosaics of 32×32 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Every third of a kind is a test image, and carries no mark. More images add mosaics and change none.

    Raises:
        WorkbookValueError: `images` is too small for six of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """

    def draw(kind: str, number: int) -> Drawn:
        return marked(kind, number, not is_test(number), seed)

    return draw_cub_once(root, "phantom-marks", VERSION, list(KINDS), PARTS, images, seed, draw)


def marked(kind: str, number: int, mark: bool, seed: int = 0) -> Drawn:
    """The picture and the truth of one mosaic, with or without the mark: a function of its arguments alone."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    tiles, (place, of_mark) = random_tiles(TILES, rng), rng.choice(TILES**2, 2, replace=False).tolist()
    tiles[place] = worn(KINDS[kind], WEAR, rng)
    if mark:
        tiles[of_mark] = MARKS[kind]
    places = {"needle": (*middle_of(place, TILES), True), "mark": (*middle_of(of_mark, TILES), mark)}
    return Drawn(picture_of(tiles, rng), box_of(place, TILES), places)
