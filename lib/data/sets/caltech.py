"""Caltech-101 and Caltech-256: photographs of objects in class folders, as torchvision downloads and unpacks them.

`101_ObjectCategories/<class>/image_0001.jpg` (Li et al. 2004, https://doi.org/10.22002/D1.20086) and
`256_ObjectCategories/001.<class>/001_0001.jpg` (Griffin et al. 2007, https://doi.org/10.22002/D1.20087). Their folders
of assorted pictures, `BACKGROUND_Google` and `257.clutter`, are no class. torchvision's own readers count the files
and make up their names, which fails where a class lacks one; here the folders are read as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lib.data.file_finder import class_folder_rows, unpacked
from lib.data.imageset import ImageSet
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
    base = unpacked(root, name, categories)
    folders = sorted(path for path in base.iterdir() if path.is_dir() and class_of(path.name))
    if len(folders) < 2:
        raise WorkbookFileError(f"{base} needs at least two class folders, it has {len(folders)}; unpack {name} again.")
    rows = class_folder_rows(folders, _images, lambda path: f"{path.parent.name}/{path.stem}")
    return ImageSet(name, tuple(class_of(path.name) for path in folders), rows)


def _images(class_folder: Path) -> Iterator[Path]:
    """What lies right in a class folder: anything deeper in the official archives is stray."""
    return class_folder.glob("[!.]*")
