"""phantom-lesions and phantom-clinic: synthetic dermoscopy drawn from a seed, on disk exactly as HAM10000 is.

A class is the crossing of a local texture with a global shape, and of nothing else: to name it, a network has to
see both. Every texture and every shape occurs in at least two classes, so neither alone can name them; colours,
sizes, light, age, sex, place and distractors come from the same distribution for all classes. Class shares and
views per lesion are those of HAM10000 (Tschandl et al. 2018, https://doi.org/10.1038/sdata.2018.161).

phantom-clinic has the same classes in the same shares, but other lesions, seen by another camera: what a network
loses from one set to the other is the price of the domain shift alone.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from lib.data.phantoms.camera import photograph
from lib.data.phantoms.draw_once import draw_once, too_few
from lib.data.phantoms.lesion_drawing import draw_lesion
from lib.progress import Progress

DEFAULT_IMAGES = 3000

# class: (texture, shape). Either alone leaves two or three classes to guess among, 3/7 of them right at best.
# Unused crossings: network × elongated, streaks × round.
PHANTOM_CLASSES: dict[str, tuple[str, str]] = {
    "akiec": ("streaks", "elongated"),
    "bcc": ("dots", "elongated"),
    "bkl": ("dots", "round"),
    "df": ("dots", "lobed"),
    "mel": ("network", "lobed"),
    "nv": ("network", "round"),
    "vasc": ("streaks", "lobed"),
}
HAM_IMAGES = {"akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142}
HAM_VIEWS = (5514, 1423, 490, 34, 5, 4)  # HAM10000's lesions that have 1, 2, … 6 images
LEAST_LESIONS = 6  # of a class: fewer cannot be split into training, validation and test

COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
DX_TYPES = ("histo", "follow_up", "consensus", "confocal")
SEXES = ("male", "female", "unknown")
PLACES = ("back", "lower extremity", "trunk", "upper extremity", "abdomen", "face", "chest", "foot", "neck", "scalp")
PARTS = ("HAM10000_images_part_1", "HAM10000_images_part_2")
MASKS = "HAM10000_segmentations_lesion_tschandl"


@dataclass(frozen=True)
class Clinic:
    """Where a set of phantoms comes from."""

    name: str
    version: int  # raise it whenever the same seed would draw other pictures
    seed: int  # another seed: other lesions
    first_id: int  # of lesions and of images; real ids are far below, so a phantom is never taken for a patient
    camera: Callable[[np.ndarray, np.random.Generator], np.ndarray] = lambda picture, rng: picture


LESIONS = Clinic("phantom-lesions", version=1, seed=0, first_id=9_000_000)
CLINIC = Clinic("phantom-clinic", version=1, seed=1_000_003, first_id=9_500_000, camera=photograph)


def draw_phantoms(root: Path, clinic: Clinic, images: int = DEFAULT_IMAGES, seed: int | None = None) -> Path:
    """Draw `images` phantoms of 160×120 pixels into the folder `root`, unless it holds just that set; returns `root`.

    `seed` None is the clinic's own.

    Raises:
        WorkbookValueError: `images` is too small for every class to have six lesions, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    if _fewest_lesions(images) < LEAST_LESIONS:
        raise too_few(images, f"{LEAST_LESIONS} lesions of every class", least_images())
    seed = clinic.seed if seed is None else seed
    return draw_once(
        root, clinic.name, clinic.version, images, seed, lambda folder: _write(folder, clinic, images, seed)
    )


# --- which lesions there are ---


def _class_counts(images: int) -> dict[str, int]:
    """Images per class: HAM10000's shares, rounded; the commonest class takes what rounding leaves."""
    counts = {dx: round(images * real / sum(HAM_IMAGES.values())) for dx, real in HAM_IMAGES.items()}
    counts["nv"] += images - sum(counts.values())
    return counts


def _views(images: int) -> list[int]:
    """Views of each lesion of a class that has `images` images, in HAM10000's proportions.

    The golden ratio's multiples spread evenly over 0..1 from the first few on, so a rare class has its share too.
    """
    bounds = np.cumsum(HAM_VIEWS) / sum(HAM_VIEWS)
    views: list[int] = []
    while (left := images - sum(views)) > 0:
        position = len(views) * 0.6180339887 % 1
        views.append(min(left, 1 + int(np.searchsorted(bounds, position, side="right"))))
    return views


def _fewest_lesions(images: int) -> int:
    return len(_views(min(_class_counts(images).values())))


def least_images() -> int:
    """The smallest set in which every class has `LEAST_LESIONS` lesions."""
    return next(images for images in count(1) if _fewest_lesions(images) >= LEAST_LESIONS)


def _lesions(images: int, seed: int) -> list[tuple[str, int, int]]:
    """Class, lesion index and number of views of every lesion, shuffled so that ids do not tell the class.

    The index counts within a class, from 100,000 for each: more images add lesions and change none.
    """
    lesions = [
        (dx, 100_000 * place + number, views)
        for place, (dx, class_images) in enumerate(_class_counts(images).items())
        for number, views in enumerate(_views(class_images))
    ]
    order = np.random.default_rng(seed).permutation(len(lesions))
    return [lesions[i] for i in order]


# --- writing them ---


def _write(folder: Path, clinic: Clinic, images: int, seed: int) -> None:
    """Draw the whole set into the empty `folder`."""
    for name in (*PARTS, MASKS):
        (folder / name).mkdir()
    with (folder / "HAM10000_metadata.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        with Progress(images, f"Drawing {clinic.name}") as bar:
            for done, (row, image, mask) in enumerate(_draw_all(clinic, images, seed)):
                part = PARTS[2 * done >= images]
                Image.fromarray(image).save(folder / part / f"{row[1]}.jpg", quality=92)
                Image.fromarray(mask).save(folder / MASKS / f"{row[1]}_segmentation.png", compress_level=1)
                table.writerow(row)
                bar.advance()


def _draw_all(clinic: Clinic, images: int, seed: int) -> Iterator[tuple[tuple, np.ndarray, np.ndarray]]:
    """Every image's row of metadata, pixels and mask, lesion by lesion."""
    image_id = clinic.first_id
    for lesion_number, (dx, index, views) in enumerate(_lesions(images, seed)):
        rng = np.random.default_rng([seed, index])
        person = _person(rng)
        for image, mask in draw_lesion(*PHANTOM_CLASSES[dx], views, rng):
            row = (f"HAM_{clinic.first_id + lesion_number:07d}", f"ISIC_{image_id:07d}", dx, *person)
            yield row, clinic.camera(image, rng), mask
            image_id += 1


def _person(rng: np.random.Generator) -> tuple[str, float | str, str, str]:
    """dx_type, age in years (sometimes missing), sex and localization: drawn alike for every class."""
    age = "" if rng.random() < 0.01 else float(np.clip(5 * round(rng.normal(52, 17) / 5), 5, 85))
    return str(rng.choice(DX_TYPES)), age, str(rng.choice(SEXES, p=[0.54, 0.45, 0.01])), str(rng.choice(PLACES))
