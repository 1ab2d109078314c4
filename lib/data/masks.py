"""Masks of objects by their own two values, however they are stored.

Whoever draws a mask has one value for the object and one for all else: 0 and 255, 0 and 1, two colours of a palette, 0 and
65535, 0.0 and 1.0, or opaque and transparent. The greater one is the object; where there is one value only, the object
is everything (not 0) or nothing (0). What was blurred by scaling or by JPEG is cut half-way between the two.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from lib.data.decoding import Size, height_and_width, picture_size, upright, without
from lib.data.pixel_range import is_wide
from lib.errors import WorkbookFileError

FEW = 8  # values besides the two: more are the shades of blurred edges
BETWEEN = 0.05  # of the pixels: fewer between the two are such edges
LOSSY = {"JPEG", "WEBP"}  # formats that change values a little


def decode_mask(path: str | Path, picture: str | Path, size: Size, banner: int = 0) -> np.ndarray:
    """The mask of the image `picture` as uint8 [height, width]: 255 where the object covers a pixel wholly, 0 nowhere.

    It is turned by its own EXIF tag, so one without a tag (most PNGs) must have been drawn on the upright picture. It may
    have another resolution than the picture. What it says of the picture's lowest `banner` rows is cut off.

    Raises:
        WorkbookFileError: either file is missing, corrupt or truncated, the mask has the picture's size with width and
            height in each other's place, or more than two values.
    """
    width, height = picture_size(picture)
    inside = read_mask(path)
    if inside.shape == (width, height) != (height, width):
        raise WorkbookFileError(
            f"{path}: the mask is {inside.shape[1]}×{inside.shape[0]} pixels, but a viewer shows its picture at "
            f"{width}×{height}; save the mask turned as the picture is shown."
        )
    rows, columns = inside.shape
    kept = rows * without(banner, height) / height
    side, other = height_and_width(size)
    mask = Image.fromarray(inside.astype(np.uint8) * 255)
    return np.asarray(mask.resize((other, side), Image.Resampling.BOX, box=(0, 0, columns, kept)))


def read_mask(path: str | Path) -> np.ndarray:
    """bool [H, W] of the file's own size, upright: True on the object.

    Raises:
        WorkbookFileError: it is missing, corrupt or truncated, or has more than two values.
    """
    with upright(path) as image:
        values, noise = _values(image), 1 / 8 if image.format in LOSSY else 0
    low, high = values.min(), values.max()
    if not np.isfinite(float(high) - float(low)):
        raise WorkbookFileError(f"{path}: the mask holds numbers that are not finite; save it with 0 and 255.")
    if low == high:
        return np.full(values.shape, bool(high != 0))
    margin = noise * (float(high) - float(low))
    between = values[(values > low + margin) & (values < high - margin)]
    if between.size > BETWEEN * values.size and len(others := np.unique(between)) <= FEW:
        raise WorkbookFileError(
            f"{path}: the mask has {2 + len(others)} values, among them {low:g}, {others[0]:g} and {high:g}; save it with two, "
            "one for the object and a smaller one for all else."
        )
    return values > (float(low) + float(high)) / 2


def _values(image: Image.Image) -> np.ndarray:
    """A number a pixel: opacity where it differs, else brightness, else, of a palette, the index."""
    if "A" in image.mode or "transparency" in image.info:
        opacity = np.asarray(image.convert("RGBA"))[..., 3]
        if np.ptp(opacity):
            return opacity
    if is_wide(image) or image.mode in {"L", "1"}:
        return np.asarray(image).astype(np.float64 if is_wide(image) else np.uint8)
    brightness = np.asarray(image.convert("RGB")).sum(axis=2, dtype=np.int32)
    return np.asarray(image) if image.mode == "P" and not np.ptp(brightness) else brightness
