"""phantom-pairs and its control phantom-single: two distant discs of fine texture, on disk exactly as CUB-200-2011 is.

A texture is a grating in one of six directions. In phantom-pairs the class is a relation, whether both discs have the
same one: each texture is as often in either class and everywhere in the picture, so that no place and no sum over places
tells it, whatever is looked for there. A network has to tell the texture at a place (a convolution can), to bring the two
together, which are further apart than it can see at once, and to compare; or else to sum up each texture by itself, and to
compare the sums: one that is there twice, or two that are there once. phantom-single is the same but for its
question: which texture the one grating has; the other disc has rings in every class. Where the discs are is known
(`lib.data.sets.cub.load_parts`). phantom-pairs-clinic has other pictures of the same task by the camera of
`lib.data.phantoms.camera`. phantom-gratings, to train starting weights on, asks what phantom-single does of gratings that
neither task has: in the directions between theirs, and finer or coarser.

Test accuracy on phantom-pairs, where chance is 0.50: a linear probe of pixels and one of counts of patches stay there; the
recipe's bare toynet 0.75 (five seeds: 0.55 to 0.82), with a GLSA block 0.98 (0.95 to 0.99); from weights that have learned
phantom-gratings, which tell directions, 0.92 (0.90 to 0.94) and 0.96 (0.90 to 1.00); matched filters at the two places 1.00.
On phantom-single, where chance is 0.17, counts of patches tell more than 0.7, either network 1.00.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.data.phantoms.camera import photograph
from lib.data.phantoms.cub_layout import Drawn, draw_cub_once

DEFAULT_IMAGES = 1500
SIDE = 32  # pixels
RADIUS = 5.0  # of a disc, pixels
APART = 14.0  # the least distance of two discs' centres, pixels
PERIOD = 4.0  # of a texture, pixels
TURN = 0.05  # standard deviation of a grating's direction, radians; two textures are 0.52 apart
NOISE = 0.02  # standard deviation of every pixel's noise, full scale is 1
GREY, SWING = 0.5, 0.2  # of the picture; of a texture at contrast 1
CONTRAST = (0.9, 1.2)

DIRECTIONS = {f"turned {angle:03}": np.deg2rad(angle) for angle in range(0, 180, 30)}  # degrees → radians
SAME, DIFFERENT = "same", "different"


class Texture(NamedTuple):
    """A grating, or rings."""

    direction: float | None  # radians; None: rings
    period: float = PERIOD


OTHER_PERIODS = (3.0, 5.5)  # pixels, neither of them PERIOD
OTHER_GRATINGS = {
    f"turned {angle:03} period {period}": Texture(np.deg2rad(angle), period)
    for angle, period in product(range(15, 180, 30), OTHER_PERIODS)
}


def pair(kind: str, rng: np.random.Generator) -> tuple[Texture, Texture]:
    """The textures of the two discs of a picture of class SAME or DIFFERENT."""
    textures = [Texture(direction) for direction in DIRECTIONS.values()]
    first = rng.integers(len(textures))
    second = first if kind == SAME else (first + rng.integers(1, len(textures))) % len(textures)
    return textures[first], textures[second]


def single(kind: str, rng: np.random.Generator) -> tuple[Texture, Texture]:
    """The same for a picture whose class is a direction of DIRECTIONS."""
    return Texture(DIRECTIONS[kind]), Texture(None)


def other_single(kind: str, rng: np.random.Generator) -> tuple[Texture, Texture]:
    """The same for a picture whose class is one of OTHER_GRATINGS."""
    return OTHER_GRATINGS[kind], Texture(None, rng.choice(OTHER_PERIODS))


@dataclass(frozen=True)
class Discs:
    """A task with two discs a picture."""

    name: str
    version: int  # raise it whenever the same seed would draw other pictures
    kinds: tuple[str, ...]
    textures: Callable[[str, np.random.Generator], tuple[Texture, Texture]]
    parts: tuple[str, ...]  # the discs that decide, from the first on
    seed: int = 0  # another seed: other pictures
    camera: Callable[[np.ndarray, np.random.Generator], np.ndarray] = lambda picture, rng: picture


PAIRS = Discs("phantom-pairs", 1, (DIFFERENT, SAME), pair, ("first", "second"))
SINGLE = Discs("phantom-single", 1, tuple(DIRECTIONS), single, ("grating",))
PAIRS_CLINIC = Discs("phantom-pairs-clinic", 1, PAIRS.kinds, pair, PAIRS.parts, seed=1_000_003, camera=photograph)
GRATINGS = Discs("phantom-gratings", 1, tuple(OTHER_GRATINGS), other_single, ("grating",), seed=7_000_009)


def draw_discs(task: Discs, root: Path, images: int = DEFAULT_IMAGES) -> Path:
    """Draw `images` pictures of 32×32 pixels, equally many of each class, into the folder `root`, once; returns `root`.

    Every third of a class is a test image. More images add pictures and change none.

    Raises:
        WorkbookValueError: `images` is too small for six of every class.
        WorkbookError: as `draw_once`.
    """
    return draw_cub_once(root, task.name, task.version, task.kinds, task.parts, images, task.seed, partial(discs, task))


def discs(task: Discs, kind: str, number: int) -> Drawn:
    """The picture and the truth of one image: a function of its arguments alone."""
    rng = np.random.default_rng([task.seed, task.kinds.index(kind), number])
    places = two_places(rng)  # [2, (x, y)]
    picture = GREY + NOISE * rng.standard_normal((SIDE, SIDE, 3))
    for place, texture in zip(places, task.textures(kind, rng), strict=True):
        picture += SWING * rng.uniform(*CONTRAST) * disc(place, texture, rng)[..., None]
    low, high = places.min(0) - RADIUS, places.max(0) + RADIUS
    truth = {part: (*place, True) for part, place in zip(task.parts, places.tolist(), strict=False)}
    pixels = np.clip(255 * picture + 0.5, 0, 255).astype(np.uint8)
    return Drawn(task.camera(pixels, rng), (*low, *(high - low)), truth)


def two_places(rng: np.random.Generator) -> np.ndarray:
    """The centres of two discs that lie in the picture, [2, (x, y)]."""
    while True:
        places = rng.uniform(RADIUS, SIDE - 1 - RADIUS, (2, 2))
        if np.hypot(*(places[0] - places[1])) >= APART:
            return places


def disc(place: np.ndarray, texture: Texture, rng: np.random.Generator) -> np.ndarray:
    """A texture in a disc with a soft edge, [SIDE, SIDE] in [−1, 1] and 0 elsewhere; its phase is random."""
    y, x = np.mgrid[:SIDE, :SIDE] - place[::-1, None, None]
    radius = np.hypot(x, y)
    if texture.direction is None:
        along = radius
    else:
        angle = texture.direction + TURN * rng.standard_normal()
        along = y * np.cos(angle) - x * np.sin(angle)  # across the grating's lines
    wave = np.sin(2 * np.pi / texture.period * along + rng.uniform(0, 2 * np.pi))
    return wave * np.exp(-((radius / RADIUS) ** 4))
