"""What a network is shown of the object: boxes, parts and masks, the truth for "where did it look"."""

from dataclasses import dataclass

import numpy as np
import torch

from lib.data.augmentation import centre_view, in_centre_view, stored_size
from lib.data.boxes import relative_boxes
from lib.data.imageset import ImageSet
from lib.data.sets.cub import load_parts
from lib.errors import WorkbookFileError


@dataclass(frozen=True)
class Truth:
    """Of N images, as shares of the side of what the network is shown: x to the right, y down, (0, 0) its corner.

    `boxes` [N, 4] holds the left, top, right and bottom side, cut to the view; `places` [N, P, 2] holds x and y of the
    parts named in `parts`. NaN is what is unknown or not in view; a hidden part is not in view.
    """

    boxes: np.ndarray
    parts: tuple[str, ...]
    places: np.ndarray


def truth_in_view(images: ImageSet, size: tuple[int, int], augmentation: str) -> Truth:
    """Boxes and parts of `images` as a network of `size` (height, width) in pixels sees them in evaluation.

    A set that has no boxes, or no part locations, has NaN boxes, or no parts.

    Raises:
        WorkbookValueError: a malformed line in the list of parts.
    """
    x, y, width, height = relative_boxes(images).T
    corners = np.stack([[x, y], [x + width, y + height]]).transpose(2, 0, 1)  # [N, 2 corners, 2]
    seen = np.clip(in_centre_view(corners, size, augmentation), 0, 1)
    empty = (seen[:, 1] <= seen[:, 0]).any(1)
    boxes = np.where(empty[:, None], np.nan, seen.reshape(-1, 4))
    parts, places = _places(images)
    places = in_centre_view(places, size, augmentation)
    outside = ~((places >= 0) & (places <= 1)).all(-1, keepdims=True)
    return Truth(boxes, parts, np.where(outside, np.nan, places))


def _places(images: ImageSet) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of all parts, and where each image's visible ones are: [N, P, 2] as shares of the picture."""
    try:
        listed = load_parts(images)
    except WorkbookFileError:  # cars and aircraft have boxes only
        return (), np.empty((len(images.rows), 0, 2))
    parts = tuple(dict.fromkeys(name for of_image in listed.values() for name in of_image))
    places = np.full((len(images.rows), len(parts), 2), np.nan)
    for i, row in enumerate(images.rows.itertuples()):
        width, height = images.picture_size(row)
        for name, part in listed.get(row.image_id, {}).items():
            if part.visible:
                places[i, parts.index(name)] = part.x / width, part.y / height
    return parts, places


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
