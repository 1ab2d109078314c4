"""Grey pictures of more than eight bits a pixel, whole numbers or floating point, as eight bits that can be seen.

A file does not say how much is white. Cameras and scanners write 10, 12 or 14 bits into files of 16 or 32, programs write 0
to 1, or 8-bit values, as floating point. So the values tell: white is the end of the smallest usual scale that holds
them. Values that use less than a quarter of it, or that lie beyond all scales, are stretched over their own range.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from lib.errors import WorkbookFileError

SCALES = (1, 2**8 - 1, 2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1)  # their ends; all begin at 0
DARK = 16  # of 256: less is a scale of 12 bits or fewer in 16
STRIP = 2**22  # pixels that are worked on at a time

Range = tuple[float, float]  # what is black, and what is white


def is_wide(image: Image.Image) -> bool:
    """Whether the pixels of an image are numbers of more than eight bits."""
    return image.mode in {"I", "F"} or image.mode.startswith("I;16")


def range_of(image: Image.Image) -> Range:
    """Black and white of a wide image.

    Raises:
        WorkbookFileError: it holds NaN or infinity, or one value that is on no scale.
    """
    parts = [np.asarray(part) for part in strips(image)]
    low, high = (float(of(list(map(of, parts)))) for of in (np.min, np.max))
    if not np.isfinite([low, high]).all():
        raise WorkbookFileError("its pixels are not all finite numbers; save it with whole numbers from 0 to 255")
    white = next((end for end in SCALES if end >= high), None)
    if low >= 0 and white is not None and (low == high or high >= white / 4):
        return 0.0, float(white)
    if low == high:
        raise WorkbookFileError(f"all its pixels are {low:g}, on no scale that is known; save it with 0 to 255")
    return low, high


def has_deep_colours(image: Image.Image) -> bool:
    """Whether the file of an image that was opened, and not loaded, has colours of 16 bits: Pillow keeps the upper eight."""
    return len(image.getbands()) > 1 and any(";16" in str(tile[3]) for tile in image.tile)


def refuse_dark(image: Image.Image) -> None:
    """Raise a WorkbookFileError where the upper eight of 16 bits of colour are nearly nothing."""
    colours = image.getextrema()[: 3 if image.mode.startswith("RGB") else 1]
    if max(high for _, high in colours) < DARK:
        raise WorkbookFileError(
            "its colours of 16 bits use a sixteenth of their scale or less, and would be black; save it with 8 bits a colour"
        )


def eight_bits(image: Image.Image, shown: Range) -> Image.Image:
    """A wide image in mode L."""
    low, high = shown
    values = (np.asarray(image, dtype=np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))


def strips(image: Image.Image, multiple: int = 1) -> Iterator[Image.Image]:
    """The image from top to bottom in strips of about `STRIP` pixels, whose heights are multiples of `multiple`."""
    rows = max(1, STRIP // image.width // multiple) * multiple
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))
