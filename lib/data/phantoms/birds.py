"""phantom-birds: drawn birds on disk exactly as CUB-200-2011 is, whose ten kinds differ in small parts only.

Crown, wing patch and tail band have the same three colours in every kind, in another order, and each order belongs to
two kinds, which the length of the beak or a ring round the eye tells apart: the big marks alone name one bird in two,
and a colour's presence, wherever it is, none. Where the parts are is known (`lib.data.sets.cub.load_parts`).
"""

from pathlib import Path

import numpy as np

from lib.data.phantoms.bird_drawing import PARTS, Marks, draw_bird
from lib.data.phantoms.cub_layout import Drawn, draw_cub_once

DEFAULT_IMAGES = 3000
VERSION = 1  # raise it whenever the same seed would draw other pictures
KINDS: dict[str, Marks] = {
    "Alder_Phantom": Marks("red", "yellow", "blue", "short", False),
    "Birch_Phantom": Marks("red", "yellow", "blue", "long", False),
    "Cedar_Phantom": Marks("red", "blue", "yellow", "short", True),
    "Elm_Phantom": Marks("red", "blue", "yellow", "short", False),
    "Fir_Phantom": Marks("yellow", "red", "blue", "long", True),
    "Hazel_Phantom": Marks("yellow", "red", "blue", "short", False),
    "Juniper_Phantom": Marks("yellow", "blue", "red", "short", True),
    "Larch_Phantom": Marks("yellow", "blue", "red", "long", True),
    "Maple_Phantom": Marks("blue", "red", "yellow", "long", False),
    "Rowan_Phantom": Marks("blue", "red", "yellow", "long", True),
}


def draw_birds(root: Path, images: int = DEFAULT_IMAGES, seed: int = 0) -> Path:
    """Draw `images` birds of 128×128 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Every third of a kind is a test image. More images add birds and change none.

    Raises:
        WorkbookValueError: `images` is too small for six of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    return draw_cub_once(
        root, "phantom-birds", VERSION, list(KINDS), PARTS, images, seed, lambda kind, number: bird(kind, number, seed)
    )


def bird(kind: str, number: int, seed: int = 0) -> Drawn:
    """The picture and the truth of one bird: a function of its arguments alone."""
    return draw_bird(KINDS[kind], np.random.default_rng([seed, list(KINDS).index(kind), number]))
