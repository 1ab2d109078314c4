"""Any folder of class folders (torchvision's `ImageFolder` layout), and scikit-learn's digits written as one."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lib.data.file_finder import class_folder_rows, folder, folders_in, not_made_here
from lib.data.image_files import pictures_below
from lib.data.image_names import role_of_folder
from lib.data.imageset import ImageSet
from lib.errors import WorkbookFileError
from lib.files import is_free, save_folder
from lib.paths import given_path

IMAGES = {"images", "image", "imgs", "img", "pictures", "photos"}  # folders that are no classes, where masks are beside
# What folders and shards of a part of a set are called: `train`, `Testing`, `validation_set`, `test-images`.
PART = re.compile(
    r"(?:(?P<train>train(?:ing)?)|(?P<val>val(?:id(?:ation)?)?|dev)|(?P<test>test(?:ing)?))[-_ ]?(?:set|data|images?|imgs?|split)?"
)


def load_image_folder(root: Path, name: str = "imagefolder", skip_unreadable: bool = False) -> ImageSet:
    """`root/<class>/**/<image>`, or `root/<part>/<class>/**/<image>` with the parts train and val or test, or all three,
    which are the set's official ones. Every image is a group of its own.

    Raises:
        WorkbookFileError: fewer than two class folders, one without an image, or parts of different classes.
    """
    root = _unnested(folder(root, name))
    parts = part_folders(root)
    if not parts:
        return _class_folders(root, root, name)
    sets = {part: _class_folders(path, root, name) for part, path in parts.items()}
    classes = sets["train"].classes
    for part, images in sets.items():
        if images.classes != classes:
            odd = ", ".join(sorted(set(images.classes) ^ set(classes))[:5])
            raise WorkbookFileError(f"{parts[part]} and {parts['train']} differ in class folders: {odd}.")
    rows = pd.concat([images.rows.assign(part=part) for part, images in sets.items()], ignore_index=True)
    return ImageSet(name, classes, rows)


def part_of(name: str) -> str:
    """The part, train, val or test, that a folder or shard of that name is; "" of another one."""
    match = PART.fullmatch(name.casefold())
    return match.lastgroup if match else ""


def _unnested(root: Path) -> Path:
    """`root`, or the folder of folders that alone is in it, as archives nest them, or the one that is in that."""
    for _ in range(2):
        inside = folders_in(root)
        if len(inside) != 1 or not folders_in(inside[0]):
            break
        root = inside[0]
    return root


def part_folders(root: Path) -> dict[str, Path]:
    """The folders of a set's parts, train and at least one more; none where the folders are classes, of which one may
    be called test.

    Raises:
        WorkbookFileError: parts and other folders stand side by side, or two folders are the same part.
    """
    named = {path: part_of(path.name) for path in folders_in(root)}
    parts = {part: path for path, part in named.items() if part}
    if "train" not in parts or len(parts) < 2:
        return {}
    others = [path.name for path in named if path not in parts.values()]
    if others:
        told = ", ".join(path.name for path in parts.values())
        raise WorkbookFileError(
            f"{root} holds {told}, which are parts of a set, and beside them {', '.join(others[:5])}: move these elsewhere, "
            "or rename what is a class and no part."
        )
    return parts


def _class_folders(base: Path, root: Path, name: str) -> ImageSet:
    """The images of the class folders in `base`; their ids are their places below `root`."""
    classes = tuple(path.name for path in folders_in(base))
    images = [name for name in classes if name.casefold() in IMAGES]
    masks = [name for name in classes if role_of_folder(f"/{name}") == "mask"]
    if images and masks:
        raise WorkbookFileError(
            f"{base} holds {images[0]} and {masks[0]}, which are no classes: give {base / images[0]}, whose class folders may "
            "hold masks, too, called <image>_mask.png."
        )
    if len(classes) < 2:
        raise WorkbookFileError(f"{base} is no folder of class folders: it needs at least two, it has {len(classes)}.")
    rows = class_folder_rows(
        (base / name for name in classes), pictures_below, lambda path: path.relative_to(root).as_posix()
    )
    return ImageSet(name, classes, rows)


def load_digits_set(root: Path, name: str = "digits", skip_unreadable: bool = False) -> ImageSet:
    """scikit-learn's 1,797 real handwritten digits, 8×8 grey, written below `root` on first use.

    Raises:
        WorkbookFileError: something else is there.
    """
    root = given_path(root, f"The data root of {name}")
    if is_free(root):
        save_folder(root, _write_digits)
    try:
        images = load_image_folder(root, name, skip_unreadable)
    except WorkbookFileError as error:
        raise not_made_here(root, name) from error
    if (len(images.classes), len(images.rows)) != (10, 1797):
        raise not_made_here(root, name)
    return images


def _write_digits(folder: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for i, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        grey = np.round(pixels * (255 / 16)).astype(np.uint8)
        Image.fromarray(grey).save(folder / str(label) / f"{i:04d}.png")
