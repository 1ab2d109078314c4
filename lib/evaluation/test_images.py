"""Test images of a run that explanations are made of and scored on: what the network sees, what it says, what is true."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from lib.data import ImageSet, truth_in_view
from lib.data.augmentation import centre_view
from lib.data.masks import box_masks, masks_in_view
from lib.errors import positive
from lib.training.inference import augmentation_of, network_input, predict_rows
from lib.training.store import Run

BATCH = 128  # images


@dataclass(frozen=True)
class Cases:
    """N test images, every class in turn."""

    images: ImageSet  # these alone
    seen: np.ndarray  # uint8 [N, H, W, 3], what the network is shown
    batch: Tensor  # the same, normalised: float [N, 3, H, W]
    probabilities: np.ndarray  # [N, K], the network's answers
    masks: np.ndarray | None  # bool [N, H, W], the object or else its box; None where neither is known

    @property
    def labels(self) -> np.ndarray:
        """The true classes [N]."""
        return self.images.rows["label"].to_numpy()

    @property
    def answers(self) -> np.ndarray:
        """The predicted classes [N]."""
        return self.probabilities.argmax(axis=1)

    @property
    def groups(self) -> np.ndarray:
        """Whose images they are [N]; images of one lesion are no independent cases."""
        return self.images.rows["group"].to_numpy()

    @property
    def names(self) -> list[str]:
        """'true class → predicted class' of each image."""
        classes = self.images.classes
        return [
            f"{classes[label]} → {classes[answer]}" for label, answer in zip(self.labels, self.answers, strict=True)
        ]


def cases_of(run: Run, images: ImageSet, pixels: np.ndarray, parts: np.ndarray, count: int) -> tuple[nn.Module, Cases]:
    """The run's network, in eval mode on the CPU, and `count` of its test images (or all there are).

    Args:
        run: a finished classification run.
        images, pixels, parts: what `lib.training.prepare` gives for its config.
        count: images at most. Classes take turns, so that rare ones are there, and their first images are taken.

    Raises:
        WorkbookValueError: `count` below 1.
    """
    positive(count=count)
    rows = in_turn(images.rows["label"].to_numpy(), np.flatnonzero(parts == "test"), count)
    chosen = replace(images, rows=images.rows.iloc[rows].reset_index(drop=True))
    model, augmentation = run.model(), augmentation_of(run.config)
    kept = np.ascontiguousarray(pixels[rows])
    seen = centre_view(rearrange(torch.from_numpy(kept), "b y x c -> b c y x"), augmentation)
    return model, Cases(
        chosen,
        rearrange(seen, "b c y x -> b y x c").numpy(),
        network_input(model, kept, augmentation),
        predict_rows(model, kept, np.arange(len(rows)), BATCH, "cpu", augmentation),
        object_masks(chosen, run.config.size, augmentation),
    )


def in_turn(labels: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """`count` of `rows`, the classes `labels[rows]` taking turns, in the order of the rows within each."""
    turn = np.zeros(len(rows), int)
    for label in np.unique(labels[rows]):
        of = labels[rows] == label
        turn[of] = np.arange(of.sum())
    return rows[np.lexsort((labels[rows], turn))[:count]]


def object_masks(images: ImageSet, size: tuple[int, int], augmentation: str) -> np.ndarray | None:
    """bool [N, H, W]: the masks of the set, else the boxes of the object, else None."""
    if (images.rows["mask"] != "").any():
        return masks_in_view(images, size, augmentation)
    if (images.rows["box"] != "").any():
        return box_masks(truth_in_view(images, size, augmentation), size)
    return None
