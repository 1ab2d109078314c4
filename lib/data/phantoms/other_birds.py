"""phantom-birds-other: birds in every combination of marks that no kind of phantom-birds has, to train starting weights on.

98 kinds, drawn as those of phantom-birds are but from another seed, and on disk exactly as CUB-200-2011 is. Here crown,
wing and tail may share a colour, so that which colours there are tells something: a network that learns from scratch
finds its way from the colours to the places where they are.
"""

from itertools import product
from pathlib import Path

import numpy as np

from lib.data.phantoms import birds
from lib.data.phantoms.bird_drawing import BEAKS, COLOURS, PARTS, Marks, draw_bird
from lib.data.phantoms.cub_layout import Drawn, write_cub
from lib.data.phantoms.draw_once import draw_once, too_few

DEFAULT_IMAGES = 2940
VERSION = 1  # raise it whenever the same seed would draw other pictures
SEED = 7_000_001  # no other set's
LEAST = 3  # images of a kind: two to train on and one to test
ALL = [Marks(*colours, beak, ring) for *colours, beak, ring in product(*[COLOURS] * 3, BEAKS, (False, True))]
KINDS = {
    f"{marks.crown}_{marks.wing}_{marks.tail}_{marks.beak}{'_ring' * marks.ring}": marks
    for marks in ALL
    if marks not in birds.KINDS.values()
}


def draw_other_birds(root: Path, images: int = DEFAULT_IMAGES, seed: int = SEED) -> Path:
    """Draw `images` birds of 128×128 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Raises:
        WorkbookValueError: `images` is too small for three of every kind, or `seed` is negative.
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
