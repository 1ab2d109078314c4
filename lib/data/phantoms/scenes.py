"""Drawn scenes with known boxes and masks, for detectors: one to three shapes of three kinds on a noisy ground."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SHAPES = ("disc", "square", "triangle")
MOST = 3  # objects of a scene
TRIES = 20  # to find an object a place that is free


@dataclass(frozen=True)
class Scene:
    """A picture, and its objects one by one."""

    image: np.ndarray  # uint8 [H, W, 3]
    labels: np.ndarray  # [n], indices into SHAPES
    masks: np.ndarray  # bool [n, H, W]; no two meet

    @property
    def boxes(self) -> np.ndarray:
        """[n, 4]: x and y of the upper left corner and of the lower right one, in pixels."""
        return np.array([box_of(mask) for mask in self.masks], dtype=np.float32).reshape(-1, 4)


def draw_scenes(number: int, side: int = 64, seed: int = 0) -> list[Scene]:
    """Scenes of `side` pixels; the first of them do not depend on their number."""
    rng = np.random.default_rng(seed)
    return [_draw(side, rng) for _ in range(number)]


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The least box that holds a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _draw(side: int, rng: np.random.Generator) -> Scene:
    image, labels, masks = rng.normal(0.2, 0.05, (side, side, 3)), [], []
    for _ in range(rng.integers(1, MOST + 1)):
        label, mask = _place(side, masks, rng)
        if mask is None:
            continue
        colour = rng.uniform(0.5, 1, 3)  # brighter than the ground; it tells nothing of the kind
        image[mask] = colour + rng.normal(0, 0.05, (mask.sum(), 3))
        labels.append(label)
        masks.append(mask)
    pixels = np.round(255 * image.clip(0, 1)).astype(np.uint8)
    return Scene(pixels, np.array(labels), np.array(masks))


def _place(side: int, taken: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[int, np.ndarray | None]:
    """A kind, and its mask where it covers no other one; None where no such place was found."""
    for _ in range(TRIES):
        size, label = rng.integers(side // 4, side // 2), int(rng.integers(len(SHAPES)))
        x, y = rng.integers(1, side - size, 2)
        mask = _shape(label, side, x, y, size)
        if not any((mask & other).any() for other in taken):
            return label, mask
    return 0, None


def _shape(label: int, side: int, x: int, y: int, size: int) -> np.ndarray:
    """A shape that fills a square of `size` pixels at x, y."""
    v, u = (np.mgrid[:side, :side] + 0.5 - np.array([y, x])[:, None, None]) / size  # 0 to 1 within the square
    inside = (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
    within = {
        "disc": (u - 0.5) ** 2 + (v - 0.5) ** 2 <= 0.25,
        "square": inside,
        "triangle": np.abs(u - 0.5) <= v / 2,
    }
    return inside & within[SHAPES[label]]
