"""Bounding boxes: where the object is, the truth for "where did it look"."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lib.data.imageset import ImageSet


def box_text(left: float, top: float, right: float, bottom: float) -> str:
    """Corners that are in the box, counted from 1 as in Matlab, as "x y width height" counted from 0."""
    return f"{left - 1:g} {top - 1:g} {right - left + 1:g} {bottom - top + 1:g}"


def picture_size(path: str, banner: int = 0) -> tuple[int, int]:
    """Width and height, in pixels, of an original image without its banner; reads the header only."""
    with Image.open(path) as image:
        return image.width, image.height - banner


def relative_boxes(images: ImageSet) -> np.ndarray:
    """[n, 4]: x, y, width and height of each image's box as shares of its picture, in [0, 1]; NaN without a box.

    The picture is the original without its banner, which is what decoding squeezes into any size. Boxes that reach
    beyond it are cut.
    """
    found = np.full((len(images.rows), 4), np.nan)
    for i, row in enumerate(images.rows.itertuples()):
        if row.box:
            width, height = picture_size(row.path, images.banner)
            x, y, w, h = map(float, row.box.split())
            left, right = np.clip([x / width, (x + w) / width], 0, 1)
            top, bottom = np.clip([y / height, (y + h) / height], 0, 1)
            found[i] = left, top, right - left, bottom - top
    return found
