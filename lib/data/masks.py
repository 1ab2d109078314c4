"""Masks of objects by their own two values, however they are stored.

Whoever draws a mask has one value for the object and one for all else: 0 and 255, 0 and 1, two colours of a palette, 0 and
65535, 0.0 and 1.0, or opaque and transparent. The greater one is the object; where there is one value only, the object
is everything (not 0) or nothing (0). What was blurred by scaling or by JPEG is cut half-way between the two.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from lib.data.decoding import Size, picture_size, upright, without
from lib.data.pixel_range import is_wide
from lib.errors import WorkbookFileError, height_and_width

FEW = 8  # values besides the two: more are the shades of blurred edges
BETWEEN = 0.05  # of the pixels: fewer between the two are such edges
LOSSY = {"JPEG", "WEBP"}  # formats that change values a little
MIDDLE = 1 / 8  # of the way between the two is left out at either end: shades there are the two, a little changed
SEVERAL = "\0"  # stands between the files of one mask that is stored in several, an object each: no path holds it


def decode_mask(path: str | Path, picture: str | Path, size: Size, banner: int = 0) -> np.ndarray:
    """The mask of the image `picture` as uint8 [height, width]: 255 where the object covers a pixel wholly, 0 nowhere.

    `path` may be the several files of one mask, see `mask_files`: what one of them holds is the object. Each is turned by
    its own EXIF tag, so one without a tag (most PNGs) must have been drawn on the upright picture. It may
    have another resolution than the picture. What it says of the picture's lowest `banner` rows is cut off.

    Raises:
        WorkbookFileError: either file is missing, corrupt or truncated, the mask has the picture's size with width and
            height in each other's place, or more than two values.
    """
    shown = picture_size(picture)
    return np.maximum.reduce([_squeezed(file, shown, height_and_width(size), banner) for file in mask_files(path)])


def mask_files(mask: str | Path) -> list[str]:
    """The files of a mask: one, or several with `SEVERAL` between them."""
    return str(mask).split(SEVERAL)


def _squeezed(path: str, shown: tuple[int, int], size: tuple[int, int], banner: int) -> np.ndarray:
    """`decode_mask` of one file, whose picture is `shown` in (width, height) pixels."""
    (width, height), inside = shown, read_mask(path)
    if inside.shape == (width, height) != (height, width):
        raise WorkbookFileError(
            f"{path}: the mask is {inside.shape[1]}×{inside.shape[0]} pixels, but a viewer shows its picture at "
            f"{width}×{height}; save the mask turned as the picture is shown."
        )
    rows, columns = inside.shape
    kept = rows * without(banner, height) / height
    mask = Image.fromarray(inside.astype(np.uint8) * 255)
    return np.asarray(mask.resize(size[::-1], Image.Resampling.BOX, box=(0, 0, columns, kept)))


def read_mask(path: str | Path) -> np.ndarray:
    """bool [H, W] of the file's own size, upright: True on the object.

    Raises:
        WorkbookFileError: it is missing, corrupt or truncated, or has more than two values.
    """
    with upright(path) as image:
        values, noise = _values(image), MIDDLE if image.format in LOSSY else 0
    low, high = values.min(), values.max()
    if not np.isfinite(float(high) - float(low)):
        raise WorkbookFileError(f"{path}: the mask holds numbers that are not finite; save it with 0 and 255.")
    if low == high:
        return np.full(values.shape, bool(high != 0))
    between = _between(values, noise)
    if between.any() and _are_labels(values, between):
        others = np.unique(values[between])
        raise WorkbookFileError(
            f"{path}: the mask has {2 + len(others)} values, among them {low:g}, {others[0]:g} and {high:g}; save it with two, "
            "one for the object and a smaller one for all else."
        )
    return values > (float(low) + float(high)) / 2


def _between(values: np.ndarray, margin: float) -> np.ndarray:
    """bool [H, W]: values between the least and the greatest, and farther from both than a share of the way."""
    low, high = values.min(), values.max()
    margin *= float(high) - float(low)
    return (values > low + margin) & (values < high - margin)


def _are_labels(values: np.ndarray, between: np.ndarray) -> bool:
    """Whether the values `between` the two are further labels, and not the shades of blurred edges.

    Few of them that cover much are, and those that cover areas: most of their pixels equal all four neighbours. Where they
    are many, as numbers of objects or the shades of a soft mask, those in the middle tell.
    """
    if len(np.unique(values[between])) > FEW:
        between = _between(values, MIDDLE)
        if between.mean() <= BETWEEN:
            return False
    elif between.mean() > BETWEEN:
        return True
    even, inner = np.zeros(values.shape, bool), values[1:-1, 1:-1]
    even[1:-1, 1:-1] = (inner == values[:-2, 1:-1]) & (inner == values[2:, 1:-1])
    even[1:-1, 1:-1] &= (inner == values[1:-1, :-2]) & (inner == values[1:-1, 2:])
    return bool(even[between].mean() > 1 / 2)


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
