"""An image file as a person sees it in a viewer: upright, without its set's banner, in RGB.

Cameras store a picture as the sensor lies and note in an EXIF tag (orientation, 1 to 8) how to turn or mirror it. Every
function here obeys that tag of the file it reads, so that picture, mask and box agree.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lib.errors import InputLost, WorkbookFileError, WorkbookValueError, positive

ON_THE_SIDE = range(5, 9)  # the orientations whose width and height change places

Size = int | Sequence[int]  # a side of a square, or (height, width), in pixels


def height_and_width(size: Size) -> tuple[int, int]:
    """`size` as (height, width).

    Raises:
        WorkbookValueError: neither a whole number of at least 1 nor a pair of such.
    """
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise WorkbookValueError(f"The image size {size!r} must be a whole number of pixels or a pair (height, width).")
    positive(**{"The image height": pair[0], "The image width": pair[1]})
    return pair


def decode(path: str | Path, size: Size, banner: int = 0) -> np.ndarray:
    """The image as uint8 [height, width, 3]: upright, RGB, the whole picture squeezed into `size`.

    Palette, grey (8 and 16 bit), CMYK and RGBA images are converted; transparency is shown on white. The lowest
    `banner` rows of the upright original are cut off before. Of an image of a set, call `ImageSet.decode`, which knows
    the set's banner.

    Raises:
        WorkbookFileError: missing, corrupt or truncated; the message names the file.
    """
    rgb = _rgb(_upright(path))  # nobody else holds the original: it is let go of as soon as it is converted
    height, width = height_and_width(size)
    picture = (0, 0, rgb.width, _without(banner, rgb.height))
    return np.asarray(rgb.resize((width, height), Image.Resampling.BILINEAR, box=picture, reducing_gap=3.0))


def decode_mask(path: str | Path, picture: str | Path, size: Size, banner: int = 0) -> np.ndarray:
    """The mask of the image `picture` as uint8 [height, width]: 255 where the object covers a pixel wholly, 0 nowhere.

    It is turned by its own EXIF tag, so one without a tag (most PNGs) must have been drawn on the upright picture. It may
    have another resolution than the picture. What it says of the picture's lowest `banner` rows is cut off.

    Raises:
        WorkbookFileError: either file is missing, corrupt or truncated, or the mask has the picture's size with width
            and height in each other's place.
    """
    width, height = picture_size(picture)
    mask = _upright(path).convert("L")
    if mask.size == (height, width) != (width, height):
        raise WorkbookFileError(
            f"{path}: the mask is {mask.width}×{mask.height} pixels, but a viewer shows its picture at {width}×{height}; "
            "save the mask turned as the picture is shown."
        )
    kept = mask.height * _without(banner, height) / height
    side, other = height_and_width(size)
    return np.asarray(mask.resize((other, side), Image.Resampling.BOX, box=(0, 0, mask.width, kept)))


def picture_size(path: str | Path, banner: int = 0) -> tuple[int, int]:
    """Width and height, in pixels, of the upright original without its banner; reads little but the header.

    Raises:
        WorkbookFileError: missing or of no known format.
    """
    with _reading(path), Image.open(path) as image:
        width, height = image.size
        if image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation) in ON_THE_SIDE:
            width, height = height, width  # PIL has done it for a TIFF
    return width, _without(banner, height)


def _without(banner: int, height: int) -> int:
    """Rows that are left of an original of `height`: one at least."""
    return max(1, height - banner)


def _upright(path: str | Path) -> Image.Image:
    """The decoded image, turned as its EXIF tag says; errors as `_reading`."""
    with _reading(path), Image.open(path) as image:
        image.load()  # turns a TIFF, and removes its tag
        ImageOps.exif_transpose(image, in_place=True)  # which makes no copy where nothing is to be turned
        return image


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """What PIL raises about a file becomes a WorkbookFileError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputLost(f"{path}: no such image file") from error
    except UnidentifiedImageError as error:
        raise WorkbookFileError(f"{path}: corrupt or truncated image (of no known format)") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise WorkbookFileError(f"{path}: corrupt or truncated image ({error})") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        image = Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def decode_many(paths: Iterable[str], size: Size, banner: int = 0) -> Iterator[np.ndarray | WorkbookFileError]:
    """`decode` of each path, in order, on all cores; an image that fails yields its error instead."""

    def attempt(path: str) -> np.ndarray | WorkbookFileError:
        try:
            return decode(path, size, banner)
        except WorkbookFileError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # PIL decodes without holding the interpreter's lock
        yield from pool.map(attempt, paths)
