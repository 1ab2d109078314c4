"""phantom-birds-other: birds of kinds that phantom-birds does not have, to train starting weights on.

Drawn as those of phantom-birds are but from another seed, and on disk exactly as CUB-200-2011 is. Of the 24 kinds that the
order of three colours, the length of the beak and a ring round the eye make, phantom-birds has ten, and this set the other
fourteen: it asks for the same marks in other combinations. (Kinds that do not have all three colours can be told by which
there are, wherever they are: what is learned of them helps little where that tells nothing.)
"""

from itertools import permutations, product
from pathlib import Path

import numpy as np

from lib.data.phantoms import birds
from lib.data.phantoms.bird_drawing import BEAKS, COLOURS, PARTS, Marks, draw_bird
from lib.data.phantoms.cub_layout import Drawn, draw_cub_once

DEFAULT_IMAGES = 2400
VERSION = 2  # raise it whenever the same seed would draw other pictures
SEED = 7_000_001  # no other set's
_ALL = [Marks(*order, beak, ring) for order in permutations(COLOURS) for beak, ring in product(BEAKS, (False, True))]
KINDS = {f"Other_{i:02d}": marks for i, marks in enumerate(m for m in _ALL if m not in birds.KINDS.values())}


def draw_other_birds(root: Path, images: int = DEFAULT_IMAGES, seed: int = SEED) -> Path:
    """Draw `images` birds of 128×128 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Raises:
        WorkbookValueError: `images` is too small for six of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    return draw_cub_once(
        root,
        "phantom-birds-other",
        VERSION,
        list(KINDS),
        PARTS,
        images,
        seed,
        lambda kind, n: other_bird(kind, n, seed),
    )


def other_bird(kind: str, number: int, seed: int = SEED) -> Drawn:
    """The picture and the truth of one bird: a function of its arguments alone."""
    return draw_bird(KINDS[kind], np.random.default_rng([seed, list(KINDS).index(kind), number]))
