"""How spread a map is, and how much of it lies where the truth is: entropy, coverage and share of a box, parts, hits.

Maps are [N, h, w], not negative, and count relative to their sum over the patches: what a class token keeps for itself
is no place in the image. A patch is evenly filled. The truth is `lib.data.ground_truth.Truth`: shares of the view's sides. An
image without it has NaN, in every measure that needs it. The pointing game is Zhang et al.'s (arXiv 1608.00507), played with
all parts at once; a map with several greatest patches is right by the share of them that are, so that an even map scores
what a random point does.
"""

import numpy as np

from lib.data.ground_truth import Truth
from lib.errors import WorkbookValueError

TOLERANCE = 1 / 12  # of the view's side: how far from a part still counts as at it
FINE = 8  # points a side of a patch at which discs are sampled
NAMES = {  # of `measures`, as they are written out
    "entropy": "normalised entropy",
    "coverage": "coverage of the object's box",
    "in the box": "attention in the object's box",
    "at the parts": "attention at the parts",
    "pointing game": "pointing-game hits",
}
ROUNDING = 1e-5  # of the even share: by so much must a patch exceed it, so that an even map of rounded numbers does not
CENTRE = 1 / 4  # of the view's side: standard deviation of the Gaussian about the middle


def shares(maps: np.ndarray) -> np.ndarray:
    """`maps` divided by their sums.

    Raises:
        WorkbookValueError: a map that is negative somewhere, zero everywhere or not finite, or no maps [N, h, w].
    """
    maps = np.asarray(maps, dtype=np.float64)
    if maps.ndim != 3:
        raise WorkbookValueError(f"Maps have the shape [N, h, w], not {list(maps.shape)}.")
    total = maps.sum((1, 2), keepdims=True)
    wrong = np.flatnonzero(~np.isfinite(total[:, 0, 0]) | (total[:, 0, 0] <= 0) | (maps < 0).any((1, 2)))
    if len(wrong):
        raise WorkbookValueError(
            f"Map {wrong[0]} cannot be shared out: it must be finite, nowhere negative and not zero everywhere. "
            "Take an attention or its rollout, not a signed attribution."
        )
    return maps / total


def entropy(maps: np.ndarray) -> np.ndarray:
    """[N]: entropy divided by that of an even map, log(h·w): 0 where one patch has all, 1 where all have the same."""
    p = shares(maps)
    if p[0].size == 1:
        raise WorkbookValueError("The entropy of a map with a single patch says nothing: take smaller patches.")
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    return -(p * logs).sum((1, 2)) / np.log(p[0].size)


def share_in_box(maps: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """[N]: share of each map inside its box [N, 4] (left, top, right, bottom); a patch counts with the part inside."""
    p = shares(maps)
    return (p * _inside(boxes, *p.shape[1:])).sum((1, 2))


def coverage(maps: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """[N]: share of each box's area that gets more than the even share 1/(h·w): Σ a·[p > 1/(h·w)] / Σ a.

    p are the map's shares and a the part of each patch inside the box [N, 4], so both sums are areas of the box. One
    bright patch inside covers its own area; all of the box's patches alike and nothing elsewhere cover 1; attention
    outside covers 0. A perfectly even map covers 0, too: in it nothing stands out.
    """
    p = shares(maps)
    inside = _inside(boxes, *p.shape[1:])
    bright = p * p[0].size > 1 + ROUNDING
    return (inside * bright).sum((1, 2)) / inside.sum((1, 2))


def share_at_parts(maps: np.ndarray, places: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """[N]: share of each map within `tolerance` of any visible part, `places` [N, P, 2]."""
    p = shares(maps)
    return (p * _near(places, *p.shape[1:], FINE, tolerance)).sum((1, 2))


def pointing_game(maps: np.ndarray, places: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """[N]: 1 where the middle of the map's greatest patch is within `tolerance` of a visible part, else 0."""
    p = shares(maps)
    greatest = p == p.max((1, 2), keepdims=True)
    return (greatest * _near(places, *p.shape[1:], 1, tolerance)).sum((1, 2)) / greatest.sum((1, 2))


def measures(maps: np.ndarray, truth: Truth) -> dict[str, np.ndarray]:
    """All of the above by name, [N] each, and the share at each part alone; what the set has no truth for is left out."""
    values = {"entropy": entropy(maps)}
    if np.isfinite(truth.boxes).any():
        values["coverage"] = coverage(maps, truth.boxes)
        values["in the box"] = share_in_box(maps, truth.boxes)
    if np.isfinite(truth.places).any():
        values["at the parts"] = share_at_parts(maps, truth.places)
        values["pointing game"] = pointing_game(maps, truth.places)
        values |= {f"at the {part}": share_at_parts(maps, truth.places[:, [i]]) for i, part in enumerate(truth.parts)}
    return values


def reference_maps(height: int, width: int, images: int) -> dict[str, np.ndarray]:
    """Maps [N, h, w] that know nothing of the image: "even", and "centre", a Gaussian (`CENTRE`) about the middle."""
    y, x = (((np.arange(side) + 0.5) / side - 0.5) / CENTRE for side in (height, width))
    centre = np.tile(np.exp(-(y[:, None] ** 2 + x**2) / 2), (images, 1, 1))
    return {"even": np.ones_like(centre), "centre": centre}


def _inside(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """[N, height, width]: the part of each patch that is inside the box [N, 4]; NaN without a box."""
    rows, columns = (_overlap(n, boxes[:, axis], boxes[:, axis + 2]) for n, axis in ((height, 1), (width, 0)))
    return rows[:, :, None] * columns[:, None, :]


def _overlap(patches: int, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """[N, patches]: the share of each row or column of patches between `start` [N] and `stop` [N]."""
    edges = np.arange(patches + 1) / patches
    inside = np.minimum(edges[1:], stop[:, None]) - np.maximum(edges[:-1], start[:, None])
    return np.maximum(inside, 0) * patches


def _near(places: np.ndarray, height: int, width: int, fine: int, tolerance: float) -> np.ndarray:
    """[N, h, w]: the share of each patch's `fine`² points within `tolerance` of a place; NaN without any place."""
    y, x = ((np.arange(side * fine) + 0.5) / (side * fine) for side in (height, width))
    near = np.zeros((len(places), height * fine, width * fine), dtype=bool)
    for part in range(places.shape[1]):
        px, py = places[:, part].T
        squared = (y[:, None] - py[:, None, None]) ** 2 + (x - px[:, None, None]) ** 2
        near |= squared <= tolerance**2  # NaN, a part that is not there, is near nothing
    share = near.reshape(len(places), height, fine, width, fine).mean((2, 4))
    share[~np.isfinite(places).all(2).any(1)] = np.nan
    return share
