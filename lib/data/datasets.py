"""The data sets by name. A user adds one with one line: `DATASETS['mine'] = Dataset(load_mine, ...)`."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

from lib.data.class_names import HAM10000, ISIC2018
from lib.data.decoding import Size
from lib.data.image_names import is_image
from lib.data.imageset import ImageSet, subset
from lib.data.phantoms import (
    ambiguous,
    birds,
    discs,
    lesions,
    marks,
    needles,
    people,
    scales,
    wardrobe,
)
from lib.data.phantoms.ambiguous import draw_ambiguous, draw_clear
from lib.data.phantoms.birds import draw_birds
from lib.data.phantoms.discs import GRATINGS, PAIRS, PAIRS_CLINIC, SINGLE, draw_discs
from lib.data.phantoms.draw_once import drawn_here
from lib.data.phantoms.lesions import CLINIC, LESIONS, draw_phantoms
from lib.data.phantoms.marks import draw_marks
from lib.data.phantoms.needles import draw_needles
from lib.data.phantoms.others import other_birds, other_glyphs, other_people, other_wardrobe, patterns
from lib.data.phantoms.others.other_birds import draw_other_birds
from lib.data.phantoms.others.other_glyphs import draw_other_glyphs
from lib.data.phantoms.others.other_people import draw_other_people
from lib.data.phantoms.others.other_wardrobe import draw_other_wardrobe
from lib.data.phantoms.others.patterns import draw_patterns
from lib.data.phantoms.people import draw_people
from lib.data.phantoms.scales import draw_scales
from lib.data.phantoms.wardrobe import draw_wardrobe
from lib.data.sets.aircraft import BANNER, load_aircraft
from lib.data.sets.array_sets import load_cifar10, load_cifar100, load_stl10
from lib.data.sets.caltech import load_caltech101, load_caltech256
from lib.data.sets.cars import load_cars
from lib.data.sets.cub import load_cub
from lib.data.sets.folders import load_digits_set, load_image_folder
from lib.data.sets.ham10000 import load_ham10000
from lib.data.sets.imagenet import load_imagenet_validation
from lib.data.sets.isic2018 import load_isic2018
from lib.data.sets.msmt17 import load_msmt17
from lib.data.sets.pets import load_pets
from lib.data.sets.reid import load_duke, load_market, load_veri
from lib.errors import WorkbookFileError, WorkbookValueError, choose, positive
from lib.inputs import note
from lib.paths import DATA

SHARDS = "shards"  # the one set that is streamed


@dataclass(frozen=True)
class Dataset:
    """How to load a data set, and what suits its images."""

    load: Callable[..., ImageSet]  # load(root, name, skip_unreadable), and `limit` where fewer can be made
    augmentation: str  # one of lib.data.augmentation.AUGMENTATIONS
    quick_size: Size  # side in pixels, or (height, width), for the quick profile, on two cores
    built_in: bool = False  # made on demand, nothing to download
    class_names: Mapping[str, str] = field(default_factory=dict)  # what abbreviations of classes mean, "mel: melanoma"
    banner: int = 0  # lowest rows of pixels of every original that are no part of the picture: decoding cuts them off


def _refuse_shards(root: Path, name: str, skip_unreadable: bool = False) -> ImageSet:
    raise WorkbookValueError(
        "Tar shards are streamed and have no list of images: train on them with python -m lib.train --dataset shards; what "
        "looks at single images takes a folder of them, --dataset imagefolder."
    )


def _phantoms(draw: Callable[[Path, int], Path], load: Callable[..., ImageSet], images: int) -> Callable[..., ImageSet]:
    """A loader that draws `limit` (None: `images`) phantoms below its root, once, and reads them as the real set."""

    def load_phantoms(root: Path, name: str, skip_unreadable: bool = False, limit: int | None = None) -> ImageSet:
        number = images if limit is None else limit
        drawn = draw(drawn_here(root, name) / f"{number}-images", number)
        read = _read_once(load, drawn, name, skip_unreadable, _written(drawn))
        return replace(read, rows=read.rows.copy(), is_phantom=True)  # whoever changes rows changes their own

    return load_phantoms


@lru_cache(maxsize=8)
def _read_once(
    load: Callable[..., ImageSet], folder: Path, name: str, skip_unreadable: bool, written: tuple[int, ...]
) -> ImageSet:
    """A drawn set, read anew when a file in it was `written` anew: many runs of seconds in a row are on the same one."""
    return load(folder, name, skip_unreadable)


def _written(folder: Path) -> tuple[int, ...]:
    """When each folder below `folder` and each file of it that is no image was last written: an image that comes or goes changes
    the time of its folder, and what is in one no list tells."""
    below = ((path, name) for path, folders, files in os.walk(folder) for name in sorted((*folders, *files)))
    told = (os.path.join(path, name) for path, name in below if not is_image(name))
    return tuple(os.stat(path).st_mtime_ns for path in told)


load_phantom_lesions = _phantoms(lambda root, n: draw_phantoms(root, LESIONS, n), load_ham10000, lesions.DEFAULT_IMAGES)
load_phantom_clinic = _phantoms(lambda root, n: draw_phantoms(root, CLINIC, n), load_ham10000, lesions.DEFAULT_IMAGES)
load_phantom_birds = _phantoms(draw_birds, load_cub, birds.DEFAULT_IMAGES)
load_phantom_pairs = _phantoms(partial(draw_discs, PAIRS), load_cub, discs.DEFAULT_IMAGES)
load_phantom_pairs_clinic = _phantoms(partial(draw_discs, PAIRS_CLINIC), load_cub, discs.DEFAULT_IMAGES)
load_phantom_single = _phantoms(partial(draw_discs, SINGLE), load_cub, discs.DEFAULT_IMAGES)
load_phantom_gratings = _phantoms(partial(draw_discs, GRATINGS), load_cub, discs.DEFAULT_IMAGES)
load_phantom_needles = _phantoms(draw_needles, load_cub, needles.DEFAULT_IMAGES)
load_phantom_marks = _phantoms(draw_marks, load_cub, marks.DEFAULT_IMAGES)
load_phantom_patterns = _phantoms(draw_patterns, load_cub, patterns.DEFAULT_IMAGES)
load_phantom_ambiguous = _phantoms(draw_ambiguous, load_cub, ambiguous.DEFAULT_IMAGES)
load_phantom_clear = _phantoms(draw_clear, load_cub, ambiguous.DEFAULT_IMAGES)
load_phantom_scales = _phantoms(draw_scales, load_cub, scales.DEFAULT_IMAGES)
load_phantom_people = _phantoms(draw_people, load_market, people.DEFAULT_IMAGES)
load_phantom_wardrobe = _phantoms(draw_wardrobe, load_market, wardrobe.DEFAULT_IMAGES)
load_other_birds = _phantoms(draw_other_birds, load_cub, other_birds.DEFAULT_IMAGES)
load_other_glyphs = _phantoms(draw_other_glyphs, load_cub, other_glyphs.DEFAULT_IMAGES)
load_other_people = _phantoms(draw_other_people, load_market, other_people.DEFAULT_IMAGES)
load_other_wardrobe = _phantoms(draw_other_wardrobe, load_cub, other_wardrobe.DEFAULT_IMAGES)

DATASETS: dict[str, Dataset] = {
    "phantom-lesions": Dataset(load_phantom_lesions, "dermoscopy", 64, built_in=True, class_names=HAM10000),
    "phantom-clinic": Dataset(load_phantom_clinic, "dermoscopy", 64, built_in=True, class_names=HAM10000),
    "phantom-birds": Dataset(load_phantom_birds, "fine_grained", 64, built_in=True),
    "phantom-pairs": Dataset(load_phantom_pairs, "none", 32, built_in=True),
    "phantom-pairs-clinic": Dataset(load_phantom_pairs_clinic, "none", 32, built_in=True),
    "phantom-single": Dataset(load_phantom_single, "none", 32, built_in=True),
    "phantom-needles": Dataset(load_phantom_needles, "none", 40, built_in=True),
    "phantom-marks": Dataset(load_phantom_marks, "none", 32, built_in=True),
    "phantom-scales": Dataset(load_phantom_scales, "none", 40, built_in=True),
    "phantom-ambiguous": Dataset(load_phantom_ambiguous, "none", 40, built_in=True),
    "phantom-clear": Dataset(load_phantom_clear, "none", 40, built_in=True),
    "phantom-people": Dataset(load_phantom_people, "person", (128, 64), built_in=True),
    "phantom-wardrobe": Dataset(load_phantom_wardrobe, "person", (128, 64), built_in=True),
    "phantom-birds-other": Dataset(load_other_birds, "fine_grained", 64, built_in=True),
    "phantom-people-other": Dataset(load_other_people, "person", (128, 64), built_in=True),
    "phantom-wardrobe-other": Dataset(load_other_wardrobe, "person", (128, 64), built_in=True),
    "phantom-glyphs-other": Dataset(load_other_glyphs, "none", 40, built_in=True),
    "phantom-gratings": Dataset(load_phantom_gratings, "none", 32, built_in=True),
    "phantom-patterns": Dataset(load_phantom_patterns, "natural", 64, built_in=True),
    "digits": Dataset(load_digits_set, "shift", 32, built_in=True),
    "HAM10000": Dataset(load_ham10000, "dermoscopy", 96, class_names=HAM10000),
    "isic-2018-task-3": Dataset(load_isic2018, "dermoscopy", 96, class_names=ISIC2018),
    "STL10": Dataset(load_stl10, "natural", 96),
    "CIFAR10": Dataset(load_cifar10, "natural", 32),
    "CIFAR100": Dataset(load_cifar100, "natural", 32),
    "Caltech101": Dataset(load_caltech101, "natural", 96),
    "Caltech256": Dataset(load_caltech256, "natural", 96),
    "oxford-iiit-pet": Dataset(load_pets, "natural", 96),
    "CUB-200-2011": Dataset(load_cub, "fine_grained", 96),
    "StanfordCars": Dataset(load_cars, "fine_grained", 96),
    "FGVCAircraft": Dataset(load_aircraft, "fine_grained", 96, banner=BANNER),
    "Market-1501": Dataset(load_market, "person", (128, 64)),
    "DukeMTMC-reID": Dataset(load_duke, "person", (128, 64)),
    "MSMT17": Dataset(load_msmt17, "person", (128, 64)),
    "VeRi-776": Dataset(load_veri, "person", 96),
    "ImageNet-val": Dataset(load_imagenet_validation, "natural", 96),
    "imagefolder": Dataset(load_image_folder, "natural", 96),
    SHARDS: Dataset(_refuse_shards, "natural", 96),
}


def load_dataset(
    name: str, data_root: str | Path | None = None, limit: int | None = None, skip_unreadable: bool = False
) -> ImageSet:
    """Load a data set by name from `data_root` (None: its folder in `data/`). What is built in is made there on first use.

    `limit` asks for about that many images: whole lesions, every class in its share.

    Raises:
        WorkbookValueError: an unknown name or a bad `limit`; what the loaders raise about the data.
        WorkbookFileError: the data are not there, or something else is where a built-in set would be made.
    """
    name = choose("dataset", name, DATASETS)
    if limit is not None:
        positive(limit=limit)
    entry = DATASETS[name]
    root = DATA / name if data_root is None else Path(data_root)
    if data_root is None and not entry.built_in and not root.is_dir():
        raise WorkbookFileError(
            f"No data root for {name}: the folder {root} does not exist. Give the data's folder with --data-root, "
            "or read data/README.md on how to fetch the set."
        )
    if not entry.built_in:
        note(root)  # what is built in follows the code alone
    if "limit" in inspect.signature(entry.load).parameters:
        images = entry.load(root, name=name, skip_unreadable=skip_unreadable, limit=limit)
    else:
        images = subset(entry.load(root, name=name, skip_unreadable=skip_unreadable), limit)
    return replace(images, banner=entry.banner) if entry.banner else images


def in_full(dataset: str, classes: Sequence[str]) -> list[str]:
    """What those of `classes` that are abbreviations mean, "mel: melanoma"; none of a set that is not in DATASETS."""
    names = DATASETS[dataset].class_names if dataset in DATASETS else {}
    return [names[name] for name in classes if name in names]
