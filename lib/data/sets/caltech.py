"""Caltech-101 and Caltech-256: photographs of objects in class folders, as torchvision downloads and unpacks them.

`101_ObjectCategories/<class>/image_0001.jpg` (Li et al. 2004, https://doi.org/10.22002/D1.20086) and
`256_ObjectCategories/001.<class>/001_0001.jpg` (Griffin et al. 2007, https://doi.org/10.22002/D1.20087). Their folders
of assorted pictures, `BACKGROUND_Google` and `257.clutter`, are no class. torchvision's own readers count the files
and make up their names, which fails where a class lacks one; here the folders are read as they are.
"""

import re
from functools import partial
from pathlib import Path

from lib.data.file_finder import class_folder_rows, folders_in, unpacked
from lib.data.image_names import is_image
from lib.data.imageset import ImageSet
from lib.errors import WorkbookFileError
from lib.file_tree import data_in

# The folder that holds the class folders, and the pattern of their names; its group is the class.
CALTECH101 = ("101_ObjectCategories", r"(?!BACKGROUND_Google$)(.+)")
CALTECH256 = ("256_ObjectCategories", r"\d{3}\.(?!clutter$)(.+)")


def load_caltech(layout: tuple[str, str], root: Path, name: str, skip_unreadable: bool = False) -> ImageSet:
    """Read the class folders of `layout` in sorted order: every image is a group of its own.

    Raises:
        WorkbookFileError: the folder that holds them is missing, there are fewer than two, or one has no image.
    """
    categories, pattern = layout
    base = unpacked(root, name, categories)
    named = ((path, re.fullmatch(pattern, path.name)) for path in folders_in(base))
    classes = {path: match[1] for path, match in named if match}
    if len(classes) < 2:
        raise WorkbookFileError(f"{base} needs at least two class folders, it has {len(classes)}; unpack {name} again.")
    rows = class_folder_rows(classes, _pictures_in, lambda path: f"{path.parent.name}/{path.stem}")
    return ImageSet(name, tuple(classes.values()), rows)


def _pictures_in(class_folder: Path) -> dict[str, str]:
    """Without masks, and not below: what lies deeper in the official archives is stray."""
    return {str(path): "" for path in data_in(class_folder) if is_image(path)}


load_caltech101 = partial(load_caltech, CALTECH101)
load_caltech256 = partial(load_caltech, CALTECH256)
