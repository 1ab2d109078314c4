"""Sets whose archives hold arrays: their pictures are written once, as PNG files in class folders with an `index.csv`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from lib.data.file_finder import attach_images, images_by_stem
from lib.data.imageset import ImageSet
from lib.data.table_reader import label_indices, read_table
from lib.errors import WorkbookFileError
from lib.files import save_folder
from lib.progress import Progress

PARTS = ("train", "test")

# The arrays of a part: pixels, uint8 [n, H, W, 3], and the names of their classes.
ReadPart = Callable[[str], tuple[np.ndarray, Sequence[str]]]


def load_pictures(name: str, pictures: Path, read_part: ReadPart, skip_unreadable: bool = False) -> ImageSet:
    """Write `<class>/<part>_<number>.png` into the folder `pictures` if it is not there, then read its index.

    Classes stand in alphabetical order; every image is a group of its own.

    Raises:
        WorkbookFileError: a picture that was written is gone (unless `skip_unreadable`); what `read_part` raises.
        WorkbookError: the pictures cannot be written.
    """
    if not pictures.is_dir():
        save_folder(pictures, lambda scratch: _write(scratch, name, read_part))
    index = pictures / "index.csv"
    table = read_table(index, ("image_id", "class", "part"))
    classes = tuple(sorted(set(table["class"])))
    table = table.assign(label=label_indices(index, table["class"], classes))
    rows, missing = attach_images([(index, table, images_by_stem(pictures))], skip_unreadable)
    return ImageSet(name, classes, rows, unreadable=missing)


def read_with_torchvision(reader: type, base: Path, name: str, **part: object) -> Any:
    """torchvision's `reader` of the set `name` on the arrays of one part, which its archive unpacked to `base`.

    Raises:
        WorkbookFileError: a file is missing or not the official one.
    """
    try:
        return reader(base.absolute().parent, **part)
    except RuntimeError as error:  # torchvision compares MD5 sums and does not say of which file
        files = [file for file, _ in reader.train_list + reader.test_list]
        files += [reader.meta["filename"]] if hasattr(reader, "meta") else []
        gone = [file for file in files if not (base / file).is_file()]
        what = f"lacks {gone[0]}" if gone else "holds a file that is not the official one (MD5 sums differ)"
        raise WorkbookFileError(
            f"{base} {what}; remove the folder and fetch the set again with `python -m lib.data.download {name}`."
        ) from error


def _write(target: Path, name: str, read_part: ReadPart) -> None:
    rows = []
    for part in PARTS:
        pixels, classes = read_part(part)
        with Progress(len(pixels), f"Writing {name}'s {part} pictures") as bar:
            for number, (picture, class_name) in enumerate(zip(pixels, classes, strict=True)):
                image_id = f"{part}_{number:04d}"
                (target / class_name).mkdir(exist_ok=True)
                Image.fromarray(picture).save(target / class_name / f"{image_id}.png")
                rows.append((image_id, class_name, part))
                bar.advance()
    pd.DataFrame(rows, columns=["image_id", "class", "part"]).to_csv(target / "index.csv", index=False)
