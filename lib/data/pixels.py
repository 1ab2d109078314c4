"""Images decoded and resized once, cached as uint8: an epoch never decodes a JPEG again."""

import hashlib
import json
import logging
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from lib.data.decoding import Size, decode_many
from lib.data.imageset import ImageSet, file_stat, refuse_unreadable
from lib.data.mapped_pixels import MappedPixels
from lib.data.mask_check import check_masks
from lib.data.masks import mask_files
from lib.disk.manifest import difference, entry
from lib.errors import InputLost, height_and_width
from lib.files import from_json, save_whole, write_text
from lib.progress import Progress

log = logging.getLogger(__name__)

DECODER = 2  # raise it when `lib.data.decoding.decode` changes what it returns


def load_pixels(
    images: ImageSet, size: Size, cache: Path, skip_unreadable: bool = False
) -> tuple[ImageSet, np.ndarray]:
    """All images of the set as a read-only uint8 array [n, height, width, 3], from the cache folder or decoded into it.

    `size` is a side, or (height, width). Returns the set (without unreadable images, when these may be skipped) and
    the array, row by row. The cache's name changes with any file's size or time, so a replaced image is seen; a cache that
    is not what was written is made anew.

    Raises:
        WorkbookFileError: images or masks that cannot be read, listed once, unless `skip_unreadable`. InputLost: one that is gone.
        WorkbookValueError: `size` is no size. WorkbookError: the disk is full.
    """
    height, width = height_and_width(size)
    shape = f"{height}" if height == width else f"{height}x{width}"
    of_masks = _key(images.rows.loc[images.rows["mask"] != "", "mask"].map(mask_files).explode(), "masks")
    images = check_masks(images, cache / f"{images.name}-masks-{of_masks}.json", skip_unreadable)
    what = f"{shape}-{images.banner}" if images.banner else shape
    stem = cache / f"{images.name}-{shape}-{_key(images.rows['path'], what)}"
    array, notes = stem.with_suffix(".npy"), stem.with_suffix(".json")
    problems = _kept(array, notes)
    if problems is None:
        problems = {}
        size_in_bytes = len(images.rows) * height * width * 3
        save_whole(
            array, lambda scratch: problems.update(_decode_into(scratch, images, (height, width))), size_in_bytes
        )
        write_text(notes, json.dumps({"problems": problems, "array": entry(array)}))
    refuse_unreadable(problems.values(), skip_unreadable)
    return (images.without(problems) if problems else images), MappedPixels.of(array)


def content_digest(pixels: np.ndarray) -> str:
    """32 hex digits that follow every pixel of [n, height, width, 3], wherever the images lie."""
    return hashlib.blake2b(np.ascontiguousarray(pixels), digest_size=16).hexdigest()


def decoded_digest(images: ImageSet, size: Size) -> str:
    """The `content_digest` of what `load_pixels` gives, from the files as they are now."""
    digest = hashlib.blake2b(digest_size=16)
    for pixels in decode_many(images.rows["path"], height_and_width(size), images.banner):
        if isinstance(pixels, np.ndarray):  # what cannot be read is left out there, too
            digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()


def cache_damage(array: Path, trusting: bool = False) -> str | None:
    """What is wrong with a file of the cache, in words; `trusting` leaves it unread where nobody has touched it."""
    notes = array.with_suffix(".json")
    try:
        return difference(array, from_json(notes.read_text(encoding="utf-8"))["array"], trusting)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return f"{notes.name} beside it is missing, damaged or of an earlier build"


def _kept(array: Path, notes: Path) -> dict[str, str] | None:
    """The problems of an earlier decoding; None where there is none, or what is kept of it is damaged."""
    if not (array.exists() and notes.exists()):
        return None
    if what := cache_damage(array, trusting=True):
        log.warning("%s is made anew: %s", array, what)
        return None
    return from_json(notes.read_text(encoding="utf-8"))["problems"]


def _key(paths: pd.Series, what: str) -> str:
    stats = ((path, file_stat(path)) for path in paths)
    files = "\n".join(f"{path}|{stat.st_size}|{stat.st_mtime_ns}" for path, stat in stats)
    key = f"{DECODER}|{what}|{files}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(key).hexdigest()[:12]


def _decode_into(path: Path, images: ImageSet, size: tuple[int, int]) -> dict[str, str]:
    """Write the .npy file of all readable images; returns what is wrong with the others, by image_id.

    Plain writes, not a memory map: on a full disk a map kills the process where a write raises.
    """
    problems = {}
    decoded = decode_many(images.rows["path"], size, images.banner)
    label = f"decoding {images.name} at {size[0]}×{size[1]}"
    with open(path, "wb") as file, Progress(len(images.rows), label) as bar:
        _write_header(file, (len(images.rows), *size, 3))
        for row, result in zip(images.rows.itertuples(), decoded, strict=True):
            if isinstance(result, InputLost):
                raise result  # nothing to keep: it may be there next time
            if isinstance(result, np.ndarray):
                file.write(result.tobytes())
            else:
                problems[row.image_id] = str(result)
            bar.advance()
        _write_header(file, (len(images.rows) - len(problems), *size, 3))
    return problems


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    """The .npy header at the start of the file; rewritten at the end, when the number of readable images is known."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
