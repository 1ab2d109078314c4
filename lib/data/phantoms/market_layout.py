"""Drawn people on disk exactly as Market-1501 is: identities to train on, queries, and a gallery with strays.

Some identities are there to train on, the others to search for: their first image in each camera is a query, the others
are the gallery, together with distractors (0000, people that are searched for nowhere) and junk (-1, detections that
missed the person).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lib.data.phantoms.person_drawing import Camera, Person, camera, draw_nobody, draw_person, person
from lib.progress import Progress

LEAST = 4  # training identities: fewer cannot be divided for validation
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"


@dataclass(frozen=True)
class Street:
    """Who is seen, and by whom.

    `is_train` tells which identities, numbered from `first`, are trained on. `seen_by` are the fewest and, less one, the most
    of the `cameras` that see somebody. `who` gives the person of an identity; `dressed`, as what a camera sees her.
    """

    title: str
    seed: int
    first: int = 1
    is_train: Callable[[int], bool] = lambda identity: identity % 2 == 1
    cameras: int = 6
    seen_by: tuple[int, int] = (3, 6)
    who: Callable[[int, np.random.Generator], Person] = lambda identity, rng: person(rng)
    dressed: Callable[[Person, np.random.Generator], Person] = lambda who, rng: who

    @property
    def images_an_identity(self) -> float:
        """On average: four or five a camera, and with its share of distractors and junk."""
        return 4.5 * (sum(self.seen_by) - 1) / 2 + 2


def write_market(folder: Path, street: Street, identities: int) -> None:
    """Draw `identities` people into the empty `folder`; more of them add people and change none."""
    for part in (TRAIN, QUERY, GALLERY):
        (folder / part).mkdir()
    seed = street.seed
    cameras = [camera(np.random.default_rng([seed, 1, number])) for number in range(street.cameras)]
    last = street.first + identities - 1
    others = range(last + 1, last + 1 + identities // 2)  # a distractor and a junk image for two identities
    with Progress(identities + 2 * len(others), f"Drawing {street.title}", "people") as bar:
        for identity in range(street.first, last + 1):
            _appear(folder, street, identity, cameras, np.random.default_rng([seed, 2, identity]))
            bar.advance()
        for number in others:
            rng = np.random.default_rng([seed, 3, number])
            for prefix, off in (("0000", 0.0), ("-1", 0.45)):
                _stray(folder / GALLERY, prefix, number, off, cameras, rng)
                bar.advance()


def _appear(folder: Path, street: Street, identity: int, cameras: list[Camera], rng: np.random.Generator) -> None:
    """All images of one person: three to six before each camera that sees her."""
    who, frame, is_train = street.who(identity, rng), 1000 * identity, street.is_train(identity)
    for number in sorted(rng.choice(street.cameras, rng.integers(*street.seen_by), replace=False).tolist()):
        dressed = street.dressed(who, rng)
        for image in range(rng.integers(3, 7)):
            frame += int(rng.integers(5, 60))
            part = TRAIN if is_train else QUERY if image == 0 else GALLERY
            name = f"{identity:04d}_c{number + 1}s1_{frame:06d}_{int(image > 0):02d}.jpg"
            _save(draw_person(dressed, cameras[number], rng), folder / part / name)


def _stray(
    gallery: Path, prefix: str, number: int, off: float, cameras: list[Camera], rng: np.random.Generator
) -> None:
    """Two images of a passer-by (prefix 0000), or of a piece of one or of nobody at all (-1)."""
    who = person(rng)
    for image in range(2):
        place = int(rng.integers(len(cameras)))
        nobody = off > 0 and rng.random() < 0.3
        picture = draw_nobody(cameras[place], rng) if nobody else draw_person(who, cameras[place], rng, off)
        _save(picture, gallery / f"{prefix}_c{place + 1}s2_{1000 * number + image:06d}_01.jpg")


def _save(picture: np.ndarray, path: Path) -> None:
    Image.fromarray(picture).save(path, quality=92)
