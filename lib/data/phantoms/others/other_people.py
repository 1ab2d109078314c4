"""phantom-people-other: people of no drawn set that is tested on, before other cameras, to train starting weights on.

On disk exactly as Market-1501 is, drawn as phantom-people are, before four times as many cameras. No identity has the
pattern, hat, bag and legs of anybody who is searched for in phantom-people or phantom-wardrobe. Five in six are there to
train on, the sixth to see how well.
"""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from lib.data.phantoms import people, wardrobe
from lib.data.phantoms.market_layout import Street
from lib.data.phantoms.people import draw_street
from lib.data.phantoms.person_drawing import SHAPES, Person, person

DEFAULT_IMAGES = 2000
VERSION = 1  # raise it whenever the same seed would draw other pictures
SEED = 7_000_002  # no other set's
FIRST = 5001  # number of an identity: nobody's elsewhere


def shapes_of(seed: int, identity: int) -> tuple[str, ...]:
    """Pattern, hat, bag and legs of somebody in phantom-people (its seed is 0) or phantom-wardrobe."""
    who = person(np.random.default_rng([seed, 2, identity]))
    return tuple(getattr(who, name) for name in SHAPES)


def _unknown_shapes() -> list[tuple[str, ...]]:
    sizes = {0: people.DEFAULT_IMAGES, wardrobe.SEED: wardrobe.DEFAULT_IMAGES}
    tested = {shapes_of(seed, identity) for seed, images in sizes.items() for identity in range(2, images // 20 + 1, 2)}
    shapes = [shapes for shapes in product(*SHAPES.values()) if shapes not in tested]
    return [shapes[i] for i in np.random.default_rng(SEED).permutation(len(shapes))]


UNKNOWN_SHAPES = _unknown_shapes()


def somebody(identity: int, rng: np.random.Generator) -> Person:
    """Somebody whose four shapes nobody has who is searched for; of as many identities as there are, no two share them."""
    shapes = UNKNOWN_SHAPES[identity % len(UNKNOWN_SHAPES)]
    return replace(person(rng), **dict(zip(SHAPES, shapes, strict=True)))


def draw_other_people(root: Path, images: int = DEFAULT_IMAGES, seed: int = SEED) -> Path:
    """Draw about `images` pictures of 64×128 pixels into the folder `root`, once; returns `root`.

    Raises:
        WorkbookValueError, WorkbookError: as `draw_people`.
    """
    street = Street(
        "phantom-people-other",
        seed,
        first=FIRST,
        is_train=lambda identity: identity % 6 != 0,
        cameras=24,
        who=somebody,
    )
    return draw_street(root, VERSION, images, street)
