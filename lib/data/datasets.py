"""The data sets by name. A user adds one with one line: `DATASETS['mine'] = Dataset(load_mine, ...)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lib.data.caltech import load_caltech101, load_caltech256
from lib.data.folders import load_digits_set, load_image_folder
from lib.data.ham10000 import load_ham10000
from lib.data.imageset import ImageSet, subset
from lib.data.isic2018 import load_isic2018
from lib.data.pets import load_pets
from lib.data.phantoms import CLINIC, DEFAULT_IMAGES, LESIONS, Clinic, draw_phantoms
from lib.data.stl10 import load_stl10
from lib.errors import WorkbookFileError, WorkbookValueError, choose
from lib.inputs import note
from lib.paths import DATA


@dataclass(frozen=True)
class Dataset:
    """How to load a data set, and what suits its images."""

    load: Callable[..., ImageSet]  # load(root, name, skip_unreadable), and `limit` where fewer can be made
    augmentation: str  # one of lib.data.augmentation.AUGMENTATIONS
    quick_size: int  # side in pixels for the quick profile, on two cores
    built_in: bool = False  # made on demand, nothing to download


def load_phantom_lesions(
    root: Path, name: str = "phantom-lesions", skip_unreadable: bool = False, limit: int | None = None
) -> ImageSet:
    """Draw `limit` phantom images below `root` (once), then read them as HAM10000."""
    return _load_phantoms(LESIONS, root, name, skip_unreadable, limit)


def load_phantom_clinic(
    root: Path, name: str = "phantom-clinic", skip_unreadable: bool = False, limit: int | None = None
) -> ImageSet:
    """As `load_phantom_lesions`: the same classes, other lesions, another clinic's camera."""
    return _load_phantoms(CLINIC, root, name, skip_unreadable, limit)


def _load_phantoms(clinic: Clinic, root: Path, name: str, skip_unreadable: bool, limit: int | None) -> ImageSet:
    images = DEFAULT_IMAGES if limit is None else limit
    drawn = draw_phantoms(Path(root) / f"{images}-images", clinic, images)
    return replace(load_ham10000(drawn, name, skip_unreadable), is_phantom=True)


DATASETS: dict[str, Dataset] = {
    "phantom-lesions": Dataset(load_phantom_lesions, "dermoscopy", 64, built_in=True),
    "phantom-clinic": Dataset(load_phantom_clinic, "dermoscopy", 64, built_in=True),
    "digits": Dataset(load_digits_set, "shift", 32, built_in=True),
    "HAM10000": Dataset(load_ham10000, "dermoscopy", 96),
    "isic-2018-task-3": Dataset(load_isic2018, "dermoscopy", 96),
    "STL10": Dataset(load_stl10, "natural", 96),
    "Caltech101": Dataset(load_caltech101, "natural", 96),
    "Caltech256": Dataset(load_caltech256, "natural", 96),
    "oxford-iiit-pet": Dataset(load_pets, "natural", 96),
    "imagefolder": Dataset(load_image_folder, "natural", 96),
}


def load_dataset(
    name: str, data_root: str | Path | None = None, limit: int | None = None, skip_unreadable: bool = False
) -> ImageSet:
    """Load a data set by name from `data_root` (None: its folder in `data/`).

    `limit` asks for about that many images: whole lesions, every class in its share.

    Raises:
        WorkbookValueError: an unknown name or a bad `limit`; what the loaders raise about the data.
        WorkbookFileError: the data are not there.
    """
    name = choose("dataset", name, DATASETS)
    if limit is not None and limit < 1:
        raise WorkbookValueError(f"limit={limit} must be at least 1 image.")
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
        return entry.load(root, name=name, skip_unreadable=skip_unreadable, limit=limit)
    return subset(entry.load(root, name=name, skip_unreadable=skip_unreadable), limit)
