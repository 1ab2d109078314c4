"""Images and maps as a view carries them: pictures as WebP, maps as bytes that go from their least to their greatest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from PIL import Image

from lib.errors import WorkbookValueError
from lib.explain.view import as_webp

SHOWN = 384  # pixels, the longer side of a picture in a view
MOST_IMAGES = 24  # in one view
MOST_BYTES = 500_000  # of maps in one view, before compression
COLOURS = ("inferno", "viridis", "cividis", "gray")
STOPS = 33  # of a colour map; between them is a straight line


def checked_images(images: np.ndarray) -> np.ndarray:
    """`images`, if they are uint8 [N, H, W, 3] and at least one."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
        raise WorkbookValueError(
            f"Images to look at are uint8 [N, H, W, 3], not {images.dtype} {list(images.shape)}: "
            "take the pixels as they were decoded, before normalisation."
        )
    return images


def left_out_images(kept: int, images: int) -> list[str]:
    """What a view tells of images that it has not."""
    return [f"Left out: {images - kept} of {images} images."] * (kept < images)


def checked_names(names: Sequence[str] | None, images: np.ndarray) -> list[str]:
    """A name an image; 'image 1' and so on where there are none."""
    names = [f"image {i}" for i in range(1, len(images) + 1)] if names is None else [str(name) for name in names]
    if len(names) != len(images):
        raise WorkbookValueError(f"There are {len(names)} names for {len(images)} images: give one each.")
    return names


def checked_map(name: str, values: np.ndarray, images: np.ndarray, dimensions: Mapping[int, str]) -> np.ndarray:
    """`values` as float32, if they are finite, of an allowed number of dimensions, and one (or more) an image."""
    values = np.asarray(values, dtype=np.float32)
    if values.ndim not in dimensions or len(values) != len(images) or values.size == 0:
        raise WorkbookValueError(
            f"The maps {name!r} have the shape {list(values.shape)}: for {len(images)} images give "
            f"{' or '.join(dimensions.values())}, N = {len(images)}."
        )
    if not np.isfinite(values).all():
        raise WorkbookValueError(
            f"The maps {name!r} hold numbers that are not finite: mend or leave out what has them."
        )
    return values


def pictures(images: np.ndarray, names: Sequence[str]) -> list[dict[str, str]]:
    """[{src, name}], no picture larger than `SHOWN`."""
    return [{"src": as_webp(_reduced(image)), "name": name} for image, name in zip(images, names, strict=True)]


def _reduced(image: np.ndarray) -> np.ndarray:
    opened = Image.fromarray(image)
    opened.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    return np.asarray(opened)


def colour_stops() -> dict[str, list[int]]:
    """Name → red, green, blue of each stop in turn, 0 to 255."""
    at = np.linspace(0, 1, STOPS)
    return {name: np.round(255 * mpl.colormaps[name](at)[:, :3]).astype(int).ravel().tolist() for name in COLOURS}


@dataclass
class Packed:
    """Maps laid one after the other; `bytes` gives ranges (two float32 a map), then levels (a byte a position)."""

    ranges: list[np.ndarray]
    levels: list[np.ndarray]

    @classmethod
    def empty(cls) -> Packed:
        return cls([], [])

    def add(self, maps: np.ndarray) -> dict[str, Any]:
        """Take maps [..., h, w]; returns where they begin, by number of maps and of levels, and their grid."""
        place = {"map": sum(len(r) for r in self.ranges), "level": sum(map(len, self.levels)), "grid": maps.shape[-2:]}
        flat = maps.reshape(-1, maps.shape[-2] * maps.shape[-1])
        low, high = flat.min(axis=1), flat.max(axis=1)
        span = np.where(high > low, high - low, 1)
        self.ranges.append(np.stack([low, high], axis=1).astype("<f4"))
        self.levels.append(np.round(255 * (flat - low[:, None]) / span[:, None]).astype(np.uint8).ravel())
        return {**place, "grid": list(place["grid"])}

    @property
    def count(self) -> int:
        return sum(len(r) for r in self.ranges)

    def bytes(self) -> bytes:
        return b"".join(part.tobytes() for part in (*self.ranges, *self.levels))
