"""Caltech-101 and Caltech-256: photographs of objects in class folders, as torchvision downloads and unpacks them.

`101_ObjectCategories/<class>/image_0001.jpg` (Li et al. 2004, https://doi.org/10.22002/D1.20086) and
`256_ObjectCategories/001.<class>/001_0001.jpg` (Griffin et al. 2007, https://doi.org/10.22002/D1.20087). Their folders
of assorted pictures, `BACKGROUND_Google` and `257.clutter`, are no class. torchvision's own readers count the files
and make up their names, which fails where a class lacks one; here the folders are read as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from lib.data.imageset import IMAGE_SUFFIXES, ImageSet, folder, unpacked
from lib.errors import WorkbookFileError


def load_caltech101(root: Path, name: str = "Caltech101", skip_unreadable: bool = False) -> ImageSet:
    """Read `101_ObjectCategories`: every image is a group of its own.

    Raises:
        WorkbookFileError: that folder is missing, it has fewer than two classes, or a class has no image.
    """
    return _load(root, name, "101_ObjectCategories", _class_of_101)


def load_caltech256(root: Path, name: str = "Caltech256", skip_unreadable: bool = False) -> ImageSet:
    """Read `256_ObjectCategories`: every image is a group of its own.

    Raises:
        WorkbookFileError: that folder is missing, it has fewer than two classes, or a class has no image.
    """
    return _load(root, name, "256_ObjectCategories", _class_of_256)


def _class_of_101(folder_name: str) -> str | None:
    return None if folder_name == "BACKGROUND_Google" or folder_name.startswith(".") else folder_name


def _class_of_256(folder_name: str) -> str | None:
    numbered = re.fullmatch(r"\d{3}\.(?!clutter$)(.+)", folder_name)
    return numbered[1] if numbered else None


def _load(root: Path, name: str, categories: str, class_of: Callable[[str], str | None]) -> ImageSet:
    """The class folders of `categories`, in sorted order; `class_of` a folder's name is None where it is no class."""
    base = unpacked(folder(root, name), categories)
    if base is None:
        raise WorkbookFileError(
            f"{root} is no {name} data set: no folder {categories} in it. Give the folder that holds it, or that folder "
            f"itself, or fetch the set with `python -m lib.data.download {name}`."
        )
    folders = sorted(p for p in base.iterdir() if p.is_dir() and class_of(p.name))
    if len(folders) < 2:
        raise WorkbookFileError(f"{base} needs at least two class folders, it has {len(folders)}; unpack {name} again.")
    rows = [row for label, each in enumerate(folders) for row in _images(each, label)]
    table = pd.DataFrame(rows, columns=["image_id", "path", "label"])
    return ImageSet(
        name, tuple(class_of(p.name) for p in folders), table.assign(group=table["image_id"], mask="", part="")
    )


def _images(each: Path, label: int) -> list[tuple[str, str, int]]:
    """Id, path and label of the images right in a class folder: what lies deeper in the official archives is stray."""
    paths = sorted(p for p in each.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    if not paths:
        raise WorkbookFileError(f"The class folder {each} holds no image; fill or remove it.")
    return [(f"{each.name}/{path.stem}", str(path), label) for path in paths]
