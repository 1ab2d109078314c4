"""phantom-birds-other: birds of kinds that phantom-birds does not have, to train starting weights on.

Drawn as those of phantom-birds are but from another seed, and on disk exactly as CUB-200-2011 is. The eighteen kinds are
an orthogonal array (Taguchi's L18): every colour of crown, wing and tail, and every beak, is beside all the others equally often, so
that none tells another. Parts may share a colour, so that which colours there are
tells something: a network that learns from scratch finds its way from the colours to the places where they are.
"""

from pathlib import Path

import numpy as np

from lib.data.phantoms.bird_drawing import COLOURS, PARTS, Marks, draw_bird
from lib.data.phantoms.cub_layout import Drawn, write_cub
from lib.data.phantoms.draw_once import draw_once, too_few

DEFAULT_IMAGES = 2400
VERSION = 1  # raise it whenever the same seed would draw other pictures
SEED = 7_000_001  # no other set's
LEAST = 6  # images of a kind: fewer cannot be split into training, validation and test
# Levels of crown, wing, tail and ring. The ring is the array's column of three levels made two, and that of 1200 is
# changed, since phantom-birds has 1201.
SHORT_BEAKED = ["0000", "0111", "0221", "1001", "1111", "1220", "2010", "2121", "2201"]
LONG_BEAKED = ["0020", "0100", "0211", "1011", "1120", "1200", "2021", "2101", "2210"]


def _marks(levels: str, beak: str) -> Marks:
    *colours, ring = map(int, levels)
    return Marks(*(list(COLOURS)[colour] for colour in colours), beak, bool(ring))


_ALL = [_marks(levels, "short") for levels in SHORT_BEAKED] + [_marks(levels, "long") for levels in LONG_BEAKED]
KINDS = {f"Other_{i:02d}": marks for i, marks in enumerate(_ALL)}


def draw_other_birds(root: Path, images: int = DEFAULT_IMAGES, seed: int = SEED) -> Path:
    """Draw `images` birds of 128×128 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Raises:
        WorkbookValueError: `images` is too small for six of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    if images < LEAST * len(KINDS):
        raise too_few(images, f"{LEAST} of each of {len(KINDS)} kinds", LEAST * len(KINDS))

    def write(folder: Path) -> None:
        write_cub(folder, "phantom-birds-other", list(KINDS), PARTS, images, lambda kind, n: other_bird(kind, n, seed))

    return draw_once(root, "phantom-birds-other", VERSION, images, seed, write)


def other_bird(kind: str, number: int, seed: int = SEED) -> Drawn:
    """The picture and the truth of one bird: a function of its arguments alone."""
    return draw_bird(KINDS[kind], np.random.default_rng([seed, list(KINDS).index(kind), number]))
