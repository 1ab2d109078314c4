"""phantom-wardrobe-other: people of no drawn set that is tested on, in other clothes in each picture, to train starting
weights on.

On disk exactly as CUB-200-2011 is: a kind is a person, drawn as those of phantom-wardrobe are, and each picture has a camera
and colours of clothes of its own. So neither says who it is: all that the pictures of a kind have in common is pattern, hat,
bag and legs, hair, skin, shoes and build. No kind has the four shapes of anybody who is searched for in phantom-people or
phantom-wardrobe.
"""

from pathlib import Path

import numpy as np

from lib.data.phantoms.cub_layout import Drawn, draw_cub_once
from lib.data.phantoms.others.other_people import FIRST, somebody
from lib.data.phantoms.person_drawing import HEIGHT, WIDTH, Person, camera, changed, draw_person

DEFAULT_IMAGES = 7200
VERSION = 1  # raise it whenever the same seed would draw other pictures
SEED = 7_000_010  # no other set's
LEAST = 4  # images of a kind: fewer cannot be split into training, validation and test
KINDS = {f"Person_{i:02d}": FIRST + i for i in range(60)}  # and the number of its identity
PARTS = ("middle",)


def draw_other_wardrobe(root: Path, images: int = DEFAULT_IMAGES, seed: int = SEED) -> Path:
    """Draw `images` pictures of 64×128 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Raises:
        WorkbookValueError: `images` is too small for four of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """

    def draw(kind: str, number: int) -> Drawn:
        return outfit(kind, number, seed)

    return draw_cub_once(root, "phantom-wardrobe-other", VERSION, list(KINDS), PARTS, images, seed, draw, LEAST)


def wearer(kind: str, seed: int = SEED) -> Person:
    """Who a kind is, in the clothes of one day."""
    return somebody(KINDS[kind], np.random.default_rng([seed, 2, KINDS[kind]]))


def outfit(kind: str, number: int, seed: int = SEED) -> Drawn:
    """The picture and the truth of a kind's person on another day: a function of its arguments alone."""
    rng = np.random.default_rng([seed, KINDS[kind], number])
    picture = draw_person(changed(wearer(kind, seed), rng), camera(rng), rng)
    return Drawn(picture, (0, 0, WIDTH, HEIGHT), {"middle": (WIDTH / 2, HEIGHT / 2, True)})
