"""Any folder of class folders (torchvision's `ImageFolder` layout), and scikit-learn's digits written as one."""

from pathlib import Path

import numpy as np
from PIL import Image

from lib.data.file_finder import class_folder_rows, folder, folders_in
from lib.data.image_files import pictures_below
from lib.data.imageset import ImageSet
from lib.errors import WorkbookFileError
from lib.files import save_folder

# What folders and shards of a part of a set are called.
PART_OF = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def load_image_folder(root: Path, name: str = "imagefolder", skip_unreadable: bool = False) -> ImageSet:
    """`root/<class>/**/<image>`: every image is a group of its own.

    Raises:
        WorkbookFileError: fewer than two class folders, or one without an image.
    """
    root = folder(root, name)
    classes = tuple(path.name for path in folders_in(root))
    if len(classes) < 2:
        raise WorkbookFileError(f"{root} is no folder of class folders: it needs at least two, it has {len(classes)}.")
    parts = PART_OF.keys() & {name.casefold() for name in classes}
    if parts:
        raise WorkbookFileError(
            f"{root} holds {', '.join(sorted(parts))} where class folders should be: give one of them as the data root, "
            "or put the images of each class together; the workbook splits them itself."
        )
    rows = class_folder_rows(
        (root / name for name in classes), pictures_below, lambda path: path.relative_to(root).as_posix()
    )
    return ImageSet(name, classes, rows)


def load_digits_set(root: Path, name: str = "digits", skip_unreadable: bool = False) -> ImageSet:
    """scikit-learn's 1,797 real handwritten digits, 8×8 grey, written below `root` on first use."""
    root = Path(root)
    if not root.exists():
        save_folder(root, _write_digits)
    images = load_image_folder(root, name, skip_unreadable)
    if (len(images.classes), len(images.rows)) != (10, 1797):
        raise WorkbookFileError(
            f"{root} is not what the workbook wrote for {name}; remove it, or use --dataset imagefolder."
        )
    return images


def _write_digits(folder: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for i, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        grey = np.round(pixels * (255 / 16)).astype(np.uint8)
        Image.fromarray(grey).save(folder / str(label) / f"{i:04d}.png")
