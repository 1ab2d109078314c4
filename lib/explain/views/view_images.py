"""The images of a view and what is known of them, which `TestImages` bring along and plain pixels are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lib.errors import WorkbookValueError
from lib.evaluation.test_images import TestImages


@dataclass(frozen=True)
class ViewImages:
    """N images with their names and, where they are known, their classes and objects.

    Raises:
        WorkbookValueError: what is not of N images, or a label without a class.
    """

    pixels: np.ndarray  # uint8 [N, H, W, 3], of any size: the field of view is the maps'
    names: Sequence[str]
    classes: Sequence[str] = ()  # the K names
    labels: Sequence[int] | None = None  # the true classes [N]
    masks: np.ndarray | None = None  # bool [N, h, w], the object
    phantom: bool = False  # the images are drawn by the workbook, and the view says so

    def __post_init__(self) -> None:
        n, labels, k = len(self.pixels), self.labels, len(self.classes)
        masks = np.zeros((n, 1, 1), bool) if self.masks is None else np.asarray(self.masks)
        if len(self.names) != n:
            raise WorkbookValueError(f"There are {len(self.names)} names for {n} images: give one each.")
        if masks.dtype != bool or masks.ndim != 3 or len(masks) != n:
            raise WorkbookValueError(
                f"Masks are bool [{n}, H, W], one an image, not {masks.dtype} {list(masks.shape)}."
            )
        if labels is not None and (len(labels) != n or any(not 0 <= label < k for label in labels)):
            raise WorkbookValueError(f"Labels are {n} numbers from 0 to {k - 1}, one an image, not {list(labels)}.")


def view_images(
    images: TestImages | np.ndarray,
    probabilities: Mapping[str, np.ndarray] | None = None,
    names: Sequence[str] | None = None,
    **given: Any,
) -> ViewImages:
    """What a view shows of `images`: of `TestImages` what they know, of pixels, uint8 [N, H, W, 3], what is given.

    Args:
        probabilities: what networks answer, [N, K] each. Of one network it is in the names: 'true class → answer'.
        names: of the images, instead of those.
        given: other fields of `ViewImages`, instead of what the images know; None gives nothing.

    Raises:
        WorkbookValueError: arrays that do not fit each other.
    """
    if isinstance(images, TestImages):
        known = {"classes": images.classes, "labels": images.labels, "masks": images.masks}
        known |= {"pixels": images.sharp, "phantom": images.is_phantom}
    else:
        known = {"pixels": checked_pixels(images)}
    known |= {field: value for field, value in given.items() if value is not None}
    count = len(known["pixels"])
    answers = [
        _checked_probabilities(name, p, count, known.get("classes", ())).argmax(axis=1)
        for name, p in (probabilities or {}).items()
    ]
    if names is None and isinstance(images, TestImages):
        names = images.names(answers[0] if len(answers) == 1 else None)
    elif names is None:
        names = [f"image {n}" for n in range(1, count + 1)]
    return ViewImages(names=[str(name) for name in names], **known)


def checked_pixels(pixels: np.ndarray) -> np.ndarray:
    """`pixels`, if they are uint8 [N, H, W, 3] and at least one image; else a WorkbookValueError."""
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        raise WorkbookValueError(
            f"Images to look at are uint8 [N, H, W, 3], not {pixels.dtype} {list(pixels.shape)}: "
            "take the pixels as they were decoded, before normalisation."
        )
    return pixels


def _checked_probabilities(name: str, p: np.ndarray, images: int, classes: Sequence[str]) -> np.ndarray:
    p = np.asarray(p)
    if p.shape != (images, len(classes)) or not np.isfinite(p).all():
        raise WorkbookValueError(
            f"The probabilities of {name!r} have the shape {list(p.shape)}: for {images} images and "
            f"{len(classes)} classes give finite ones, {[images, len(classes)]}."
        )
    return p
