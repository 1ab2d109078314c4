"""Bounding boxes: where the object is, the truth for "where did it look"."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lib.data.imageset import ImageSet
from lib.data.table_reader import lookup, numbers, read_list
from lib.errors import WorkbookValueError


def read_boxes(path: Path, key: str, columns: Sequence[str], corners: bool = False) -> dict[str, str]:
    """Image → `box_texts` from the list `path` of `key`, which names the image, and four `columns`.

    Empty where the file is missing.

    Raises:
        WorkbookValueError: a malformed line, an image listed twice; as `box_texts`.
    """
    if not path.is_file():
        return {}
    table = read_list(path, key, *columns)
    return lookup(path, table.assign(box=box_texts(path, table[list(columns)], corners)), key, "box")


def box_texts(path: Path, boxes: pd.DataFrame, corners: bool = False) -> list[str]:
    """The boxes of the list `path` as "x y width height": its columns x, y, width and height, whatever their names.

    With `corners` the columns are left, top, right and bottom, counted from 1 as in Matlab, and both corners are in the
    box; x and y are counted from 0.

    Raises:
        WorkbookValueError: names the row of a value that is no number, or of a box without an area.
    """
    x, y, width, height = (numbers(path, boxes[name]) for name in boxes)
    if corners:
        x, y, width, height = x - 1, y - 1, width - x + 1, height - y + 1
    flat = (width <= 0) | (height <= 0)
    if flat.any():
        row = flat.idxmax()
        raise WorkbookValueError(
            f"{path}, row {row}: the box of {width[row]:g} × {height[row]:g} pixels has no area; restore the official list."
        )
    return [f"{x:g} {y:g} {w:g} {h:g}" for x, y, w, h in zip(x, y, width, height, strict=True)]


def relative_boxes(images: ImageSet) -> np.ndarray:
    """[n, 4]: x, y, width and height of each image's box as shares of its picture, in [0, 1]; NaN without a box.

    The picture is the upright original without its banner, which is what decoding squeezes into any size. A list counts
    the pixels of that picture: whoever drew a box drew it round the object as a viewer shows it, EXIF tag obeyed. Boxes
    that reach beyond it are cut.
    """
    boxes = np.full((len(images.rows), 4), np.nan)
    for i, row in enumerate(images.rows.itertuples()):
        if row.box:
            width, height = images.picture_size(row)
            x, y, w, h = map(float, row.box.split())
            left, right = np.clip([x / width, (x + w) / width], 0, 1)
            top, bottom = np.clip([y / height, (y + h) / height], 0, 1)
            boxes[i] = left, top, right - left, bottom - top
    return boxes
