"""phantom-people: drawn pedestrians on disk exactly as Market-1501 is, seen by six cameras.

A person is a combination of clothes and of what is carried; cameras differ in scenery, light, sharpness and in the
side from which they see people. Half of the identities are there to train on, the other half to search for: their
first image in each camera is a query, the others are the gallery, together with distractors (0000, people that are
searched for nowhere) and junk (-1, detections that missed the person).
"""

from pathlib import Path

import numpy as np
from PIL import Image

from lib.data.phantoms.draw_once import draw_once, too_few
from lib.data.phantoms.person_drawing import Camera, camera, draw_nobody, draw_person, person
from lib.progress import Progress

DEFAULT_IMAGES = 1600
VERSION = 1  # raise it whenever the same seed would draw other pictures
CAMERAS = 6
PER_IDENTITY = 20  # images, on average: with its share of distractors and junk
LEAST = 4  # training identities: fewer cannot be divided for validation
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"


def draw_people(root: Path, images: int = DEFAULT_IMAGES, seed: int = 0) -> Path:
    """Draw about `images` pictures of 64×128 pixels into the folder `root`, once; returns `root`.

    One identity in twenty images, an even number of them, half to train on; 1,600 images are 40 and 40.

    Raises:
        WorkbookValueError: `images` is too small for four identities on either side, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    identities = 2 * round(images / PER_IDENTITY / 2)
    if identities < 2 * LEAST:
        raise too_few(images, f"{LEAST} identities to train on and {LEAST} to test", 2 * LEAST * PER_IDENTITY)
    return draw_once(root, "phantom-people", VERSION, images, seed, lambda folder: _write(folder, identities, seed))


def _write(folder: Path, identities: int, seed: int) -> None:
    for part in (TRAIN, QUERY, GALLERY):
        (folder / part).mkdir()
    cameras = [camera(np.random.default_rng([seed, 1, number])) for number in range(CAMERAS)]
    others = range(identities + 1, identities + 1 + identities // 2)  # a distractor and a junk image for two identities
    with Progress(identities + 2 * len(others), "Drawing phantom-people", "people") as bar:
        for identity in range(1, identities + 1):
            _appear(folder, identity, identity % 2 == 1, cameras, np.random.default_rng([seed, 2, identity]))
            bar.advance()
        for number in others:
            rng = np.random.default_rng([seed, 3, number])
            for prefix, off in (("0000", 0.0), ("-1", 0.45)):
                _stray(folder / GALLERY, prefix, number, off, cameras, rng)
                bar.advance()


def _appear(folder: Path, identity: int, is_train: bool, cameras: list[Camera], rng: np.random.Generator) -> None:
    """All images of one person: three to five cameras, three to six images each."""
    who, frame = person(rng), 1000 * identity
    for number in sorted(rng.choice(CAMERAS, rng.integers(3, 6), replace=False).tolist()):
        for image in range(rng.integers(3, 7)):
            frame += int(rng.integers(5, 60))
            part = TRAIN if is_train else QUERY if image == 0 else GALLERY
            name = f"{identity:04d}_c{number + 1}s1_{frame:06d}_{int(image > 0):02d}.jpg"
            _save(draw_person(who, cameras[number], rng), folder / part / name)


def _stray(
    gallery: Path, prefix: str, number: int, off: float, cameras: list[Camera], rng: np.random.Generator
) -> None:
    """Two images of a passer-by (prefix 0000), or of a piece of one or of nobody at all (-1)."""
    who = person(rng)
    for image in range(2):
        place = int(rng.integers(CAMERAS))
        nobody = off > 0 and rng.random() < 0.3
        picture = draw_nobody(cameras[place], rng) if nobody else draw_person(who, cameras[place], rng, off)
        _save(picture, gallery / f"{prefix}_c{place + 1}s2_{1000 * number + image:06d}_01.jpg")


def _save(picture: np.ndarray, path: Path) -> None:
    Image.fromarray(picture).save(path, quality=92)
