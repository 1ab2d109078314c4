"""Sets whose archives hold arrays: their pictures are written once, as PNG files in class folders with an `index.csv`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lib.data.imageset import ImageSet, attach_images, images_by_stem, label_indices, read_table
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
    table["label"] = label_indices(index, table["class"], classes)
    rows, missing = attach_images(index, table, images_by_stem(pictures), skip_unreadable)
    return ImageSet(name, classes, rows.assign(group=rows["image_id"], mask=""), unreadable=missing)


def _write(target: Path, name: str, read_part: ReadPart) -> None:
    rows = []
    for part in PARTS:
        pixels, classes = read_part(part)
        with Progress(len(pixels), f"Writing {name}'s {part} pictures") as bar:
            for number, (picture, each) in enumerate(zip(pixels, classes, strict=True)):
                image_id = f"{part}_{number:04d}"
                (target / each).mkdir(exist_ok=True)
                Image.fromarray(picture).save(target / each / f"{image_id}.png")
                rows.append((image_id, each, part))
                bar.advance()
    pd.DataFrame(rows, columns=["image_id", "class", "part"]).to_csv(target / "index.csv", index=False)
