"""Whether a map lies where the truth is: pointing game, energy in the mask, overlap at the mask's area.

Maps are [N, H, W], not negative; masks are bool, of the same shape, True on the object (`lib.data.masks_in_view`). An
image with an empty mask has NaN. Where a box is all that is known, a box's mask stands for the object
(`lib.data.box_masks`). A map that is 0 everywhere says as much as an even one, and counts as one.
"""

import numpy as np
from torch import Tensor

from lib.errors import WorkbookValueError
from lib.evaluation.attention_measures import shares
from lib.explain.scores.complexity import even_where_empty
from lib.explain.scores.pixel_ranks import checked_maps, ranks


def pointing_game(maps: Tensor, masks: np.ndarray) -> np.ndarray:
    """[N]: 1 where the map's greatest pixel is on the object, else 0; the share of them that are, where several are
    greatest, for which Quantus gives 1 (Zhang et al., arXiv 1608.00507, without its tolerance of 15 pixels)."""
    maps, masks = _both(maps, masks)
    greatest = maps == maps.max((1, 2), keepdims=True)
    return _known(masks, (greatest & masks).sum((1, 2)) / greatest.sum((1, 2)))


def energy_inside(maps: Tensor, masks: np.ndarray) -> np.ndarray:
    """[N]: the share of the map's sum that is on the object (energy-based pointing game of Score-CAM, arXiv 1910.01279)."""
    maps, masks = _both(maps, masks)
    return _known(masks, (shares(maps) * masks).sum((1, 2)))


def overlap(maps: Tensor, masks: np.ndarray) -> np.ndarray:
    """[N]: intersection over union of the mask and as many of the map's greatest pixels as the mask has. Quantus' relevance
    rank accuracy r is the share of these that are on it: r / (2 − r)."""
    _, inside = _both(maps, masks)
    chosen = ranks(maps).numpy() < inside.sum((1, 2), keepdims=True)
    return _known(inside, (chosen & inside).sum((1, 2)) / np.maximum((chosen | inside).sum((1, 2)), 1))


def _both(maps: Tensor, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps float64 with an even one for each that is 0 everywhere, and masks, if they fit."""
    checked_maps(maps)
    masks = np.asarray(masks)
    if masks.shape != tuple(maps.shape) or masks.dtype != bool:
        raise WorkbookValueError(
            f"Masks are bool [N, H, W] as the maps of shape {list(maps.shape)} are, not {masks.dtype} {list(masks.shape)}."
        )
    return even_where_empty(maps).numpy(), masks


def _known(masks: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(masks.any((1, 2)), values, np.nan)
