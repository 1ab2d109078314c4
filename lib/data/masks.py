"""The object's mask in what a network is shown: the truth for "where did it look", pixel by pixel."""

import numpy as np
import torch

from lib.data.augmentation import centre_view, stored_size
from lib.data.ground_truth import Truth
from lib.data.imageset import ImageSet


def masks_in_view(images: ImageSet, size: tuple[int, int], augmentation: str) -> np.ndarray:
    """bool [N, H, W]: the object, as a network of `size` (height, width) in pixels sees it in evaluation.

    A pixel belongs to it that is covered by more than half. An image without a mask has an empty one.
    """
    stored = tuple(stored_size(side, augmentation) for side in size)
    masks = [images.decode_mask(row, stored) for row in images.rows.itertuples()]
    kept = np.stack(masks) if masks else np.zeros((0, *stored), np.uint8)
    seen = centre_view(torch.from_numpy(kept).unsqueeze(1), augmentation)[:, 0]
    return seen.numpy() > 127


def box_masks(truth: Truth, size: tuple[int, int]) -> np.ndarray:
    """bool [N, H, W]: the pixels whose middle is in the box, where boxes are all that is known; empty without one."""
    y, x = ((np.arange(side) + 0.5) / side for side in size)
    left, top, right, bottom = (side[:, None] for side in truth.boxes.T)
    return ((top <= y) & (y < bottom))[:, :, None] & ((left <= x) & (x < right))[:, None, :]
