"""Images and maps as a view carries them: pictures as WebP, maps as bytes that go from their least to their greatest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from lib.errors import WorkbookValueError
from lib.explain.views.view import as_webp
from lib.mapped import is_even

SHOWN = 384  # pixels, the longer side of a picture in a view
LARGE = 9  # pictures of that size in a view; more are smaller, 24 of them 235 pixels
MOST_IMAGES = 24  # in one view
MOST_BYTES = 500_000  # of maps in one view, before compression
COLOURS = ("inferno", "viridis", "cividis", "gray")
STOPS = 33  # of a colour map; between them is a straight line


def left_out_images(kept: int, images: int) -> list[str]:
    """What a view tells of images that it has not."""
    return [f"Left out: {images - kept} of {images} images."] * (kept < images)


def checked_map(name: str, values: np.ndarray, images: int, dimensions: Mapping[int, str]) -> np.ndarray:
    """`values` as float32, if they are finite, of an allowed number of dimensions, and one (or more) an image."""
    values = np.asarray(values, dtype=np.float32)
    if values.ndim not in dimensions or len(values) != images or values.size == 0:
        raise WorkbookValueError(
            f"The maps {name!r} have the shape {list(values.shape)}: for {images} images give "
            f"{' or '.join(dimensions.values())}, N = {images}."
        )
    if not np.isfinite(values).all():
        raise WorkbookValueError(
            f"The maps {name!r} hold numbers that are not finite: mend or leave out what has them."
        )
    return values


def grid_within(grid: Sequence[int], longest: int) -> tuple[int, int]:
    """The grid (h, w) of a map whose sides are divided by the least whole number that leaves none above `longest`."""
    factor = -(-max(grid) // longest)
    return -(-grid[0] // factor), -(-grid[1] // factor)


def longest_that_fits(longest: int, size: Callable[[int], int], least: int = 1) -> int:
    """`longest`, or its half, third, … not below `least`: the first whose `size` in bytes a view holds, else the last."""
    sides = [-(-longest // n) for n in range(1, max(1, longest // least) + 1)]
    return next((side for side in sides if size(side) <= MOST_BYTES), sides[-1])


def pooled(maps: np.ndarray, longest: int) -> np.ndarray:
    """Maps [..., h, w] as means of cells, `grid_within` (h, w); where they do not divide the map, neighbours share a line."""
    grid = grid_within(maps.shape[-2:], longest)
    if grid == maps.shape[-2:]:
        return maps
    flat = torch.from_numpy(np.array(maps)).flatten(end_dim=-3)
    return F.adaptive_avg_pool2d(flat, grid).numpy().reshape(*maps.shape[:-2], *grid)


def coarser_maps(grids: Iterable[tuple[int, int]], longest: int) -> list[str]:
    """What a view tells of maps that it has as means of cells."""
    shown = {(*grid,): grid_within(grid, longest) for grid in grids}
    words = [f"{h}×{w} of {height}×{width}" for (height, width), (h, w) in shown.items() if (h, w) != (height, width)]
    return [f"Maps shown at {', '.join(words)}: each value is the mean of a cell."] * bool(words)


def pictures(images: np.ndarray, names: Sequence[str]) -> list[dict[str, str]]:
    """[{src, name}] of images [N, H, W, 3], no side longer than `SHOWN`."""
    side = round(SHOWN * min(1, LARGE / len(images)) ** 0.5)
    thumbnails = [Image.fromarray(image) for image in images]
    for thumbnail in thumbnails:
        thumbnail.thumbnail((side, side), Image.Resampling.LANCZOS)
    return [{"src": as_webp(thumbnail), "name": name} for thumbnail, name in zip(thumbnails, names, strict=True)]


def colour_stops() -> dict[str, list[int]]:
    """Name → `stops_of` each of `COLOURS`."""
    return {name: stops_of(name) for name in COLOURS}


def stops_of(name: str) -> list[int]:
    """Red, green, blue of each stop of a colour map in turn, 0 to 255."""
    return np.round(255 * mpl.colormaps[name](np.linspace(0, 1, STOPS))[:, :3]).astype(int).ravel().tolist()


@dataclass
class Packed:
    """Maps laid one after the other; `bytes` gives ranges (two float32 a map), then levels (a byte a position)."""

    ranges: list[np.ndarray] = field(default_factory=list)
    levels: list[np.ndarray] = field(default_factory=list)

    def add(self, maps: np.ndarray) -> dict[str, Any]:
        """Take maps [..., h, w]; returns where they begin, by number of maps and of levels, and their grid."""
        place = {"map": self.count, "level": sum(map(len, self.levels)), "grid": list(maps.shape[-2:])}
        flat = maps.reshape(-1, maps.shape[-2] * maps.shape[-1])
        low, high = flat.min(axis=1), flat.max(axis=1)
        even = is_even(low, high)
        span = np.where(even, np.inf, high - low)
        self.ranges.append(np.stack([low, high], axis=1).astype("<f4"))
        self.levels.append(np.round(255 * (flat - low[:, None]) / span[:, None]).astype(np.uint8).ravel())
        return place

    @property
    def count(self) -> int:
        """How many maps were taken."""
        return sum(len(r) for r in self.ranges)

    def bytes(self) -> bytes:
        """The ranges of all maps (least and greatest value, little-endian float32), then the levels of all."""
        return b"".join(part.tobytes() for part in (*self.ranges, *self.levels))
