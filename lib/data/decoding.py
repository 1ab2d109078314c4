"""An image file as a person sees it in a viewer: upright, without its set's banner, in RGB.

Cameras store a picture as the sensor lies and note in an EXIF tag (orientation, 1 to 8) how to turn or mirror it. Every
function here obeys that tag of the file it reads, so that picture, mask and box agree.

Files of up to 178,956,970 pixels are read, which is Pillow's limit. One takes 4 bytes a pixel, twice that while it is
turned: 0.7 GB at most, or 1.4. Of files of more than `LARGE` pixels one is read at a time.
"""

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lib.data.pixel_range import eight_bits, has_deep_colours, is_wide, range_of, refuse_dark, strips
from lib.errors import InputLost, WorkbookError, WorkbookFileError, height_and_width

ON_THE_SIDE = range(5, 9)  # the orientations whose width and height change places
LARGE = 2**25  # pixels
GAP = 3.0  # an image is averaged over blocks down to this multiple of its size, and interpolated from there

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # from half of the limit on

_one_large = threading.Lock()

Size = int | Sequence[int]  # a side of a square, or (height, width), in pixels
Result = TypeVar("Result")


def decode(path: str | Path, size: Size, banner: int = 0) -> np.ndarray:
    """The image as uint8 [height, width, 3]: upright, RGB, the whole picture squeezed into `size`.

    Palette, grey, CMYK and RGBA images are converted; transparency is shown on white, and grey of more than eight bits by
    the range of its values (`lib.data.pixel_range`). The lowest `banner` rows of the upright original are cut off before.
    Of an image of a set, call `ImageSet.decode`, which knows the set's banner.

    Raises:
        WorkbookFileError: missing, corrupt, truncated, too large, or without a range; the message names the file.
    """
    height, width = height_and_width(size)
    with upright(path) as image:
        kept, to_rgb = without(banner, image.height), _converter(path, image)
        if image.width * image.height <= LARGE:
            shown, x, y = to_rgb(image), 1, 1
        else:
            x, y = int(image.width / width / GAP) or 1, int(kept / height / GAP) or 1
            shown = _reduced(image, to_rgb, x, y)
        box = (0, 0, image.width / x, kept / y)
    return np.asarray(shown.resize((width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=GAP))


def picture_size(path: str | Path, banner: int = 0) -> tuple[int, int]:
    """Width and height, in pixels, of the upright original without its banner; reads little but the header.

    Raises:
        WorkbookFileError: missing or of no known format.
    """
    return picture_header(path, banner)[:2]


def picture_header(path: str | Path, banner: int = 0) -> tuple[int, int, str]:
    """`picture_size` and the file's mode (RGB, L, P, …); raises the same."""
    with _reading(path), Image.open(path) as image:
        width, height = image.size
        if image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation) in ON_THE_SIDE:
            width, height = height, width  # PIL has done it for a TIFF
    return width, without(banner, height), image.mode


def without(banner: int, height: int) -> int:
    """Rows that are left of an original of `height`: one at least."""
    return max(1, height - banner)


@contextmanager
def upright(path: str | Path) -> Iterator[Image.Image]:
    """The decoded image, turned as its EXIF tag says.

    Raises:
        WorkbookFileError: it cannot be read.
    """
    with ExitStack() as held:
        with _reading(path):
            image = held.enter_context(Image.open(path))
            if image.width * image.height > LARGE:
                held.enter_context(_one_large)
            deep = has_deep_colours(image)
            image.load()  # turns a TIFF, and removes its tag
            if deep:
                refuse_dark(image)
            ImageOps.exif_transpose(image, in_place=True)  # which makes no copy where nothing is to be turned
        yield image


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """What PIL or we raise about a file becomes a WorkbookFileError that names it."""
    try:
        yield
    except WorkbookError as error:
        raise WorkbookFileError(f"{path}: {error}.") from error
    except FileNotFoundError as error:
        raise InputLost(f"{path}: no such image file") from error
    except UnidentifiedImageError as error:
        raise WorkbookFileError(f"{path}: corrupt or truncated image (of no known format)") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise WorkbookFileError(
            f"{path}: too large an image ({error or 'no memory is left'}); save it smaller"
        ) from error
    except Exception as error:  # of a damaged file: Pillow's readers raise a dozen types
        raise WorkbookFileError(f"{path}: corrupt or truncated image ({error})") from error


def _converter(path: str | Path, image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """What makes RGB of the image, or of a part of it."""
    if not is_wide(image):
        return _rgb
    with _reading(path):
        shown = range_of(image)
    return lambda part: eight_bits(part, shown).convert("RGB")


def _rgb(image: Image.Image) -> Image.Image:
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _reduced(image: Image.Image, to_rgb: Callable[[Image.Image], Image.Image], x: int, y: int) -> Image.Image:
    """The image in RGB, averaged over blocks of `x` by `y` pixels, strip by strip."""
    small = Image.new("RGB", (-(-image.width // x), -(-image.height // y)))
    top = 0
    for strip in strips(image, y):
        part = to_rgb(strip).reduce((x, y))
        small.paste(part, (0, top))
        top += part.height
    return small


def decode_many(paths: Iterable[str], size: Size, banner: int = 0) -> Iterator[np.ndarray | WorkbookFileError]:
    """`decode` of each path, in order, on all cores; an image that fails yields its error instead."""
    return on_all_cores(lambda path: decode(path, size, banner), paths)


def on_all_cores(read: Callable[..., Result], *arguments: Iterable) -> Iterator[Result | WorkbookFileError]:
    """What `read` returns for each of `arguments`, in order; of a file that cannot be read its error."""

    def attempt(*of_one: object) -> Result | WorkbookFileError:
        try:
            return read(*of_one)
        except WorkbookFileError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # PIL decodes without holding the interpreter's lock
        yield from pool.map(attempt, *arguments)
