"""Deletion and insertion (Petsiuk et al., RISE, arXiv 1806.07421): what becomes of the class as pixels go, or come.

Deletion takes the most relevant pixels away first, so that the class's probability should fall fast: a small area under
the curve is good. Insertion begins with the baseline and puts the most relevant pixels in first: a large area is good.
As in the paper pixels are deleted to the mean colour (0 in what a network is shown) and inserted into a blurred image
(a Gaussian of 11 pixels and σ = 5). Deleted pictures are unlike any in training, so that a drop may mean "strange" as
well as "this was it"; `lib.explain.scores.road` fills holes in instead.

All images and steps go through the network in batches of equal size, whichever image they belong to, and each is one
comparison of ranks with a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from lib.errors import WorkbookValueError, choose, positive
from lib.explain.methods.targets import Targets
from lib.explain.scores.perturbed_inference import BATCH, Probe
from lib.explain.scores.pixel_ranks import fitting, ranks

BASELINES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": torch.zeros_like,
    "blur": partial(gaussian_blur, kernel_size=11, sigma=5.0),
}


@dataclass(frozen=True)
class Curves:
    """The class's probability [N, steps + 1] with 0, 1, … all steps' shares of the pixels taken away or put in."""

    probabilities: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """[N]: the area under each curve by the trapezoidal rule, over shares of the pixels from 0 to 1."""
        p = self.probabilities
        return (p.sum(1) - (p[:, 0] + p[:, -1]) / 2) / (p.shape[1] - 1)


def deletion(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    targets: Targets = None,
    *,
    steps: int = 50,
    baseline: str = "mean",
    batch_size: int = BATCH,
    precision: str = "32",
) -> Curves:
    """Curves of the class's probability as the most relevant pixels become those of the baseline.

    Args:
        model: a classifier in eval mode.
        images: float [N, 3, H, W] as the network is shown them.
        maps: [N, H, W], what `explain` gives.
        targets: the class whose probability counts, see `explain`; None is the one predicted for the whole image.
        steps: equal shares of the pixels.
        baseline: a name in `BASELINES`.
        batch_size: perturbed images at once.
        precision: see `lib.explain.explain`; half precision is faster and less exact.

    Raises:
        WorkbookValueError: what does not fit together, or cannot be; see `explain`.
    """
    return _curves(model, images, maps, targets, steps, baseline, batch_size, precision, coming=False)


def insertion(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    targets: Targets = None,
    *,
    steps: int = 50,
    baseline: str = "blur",
    batch_size: int = BATCH,
    precision: str = "32",
) -> Curves:
    """Curves as the most relevant pixels of the image are put into the baseline; arguments are `deletion`'s."""
    return _curves(model, images, maps, targets, steps, baseline, batch_size, precision, coming=True)


def _curves(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    targets: Targets,
    steps: int,
    baseline: str,
    batch_size: int,
    precision: str,
    coming: bool,
) -> Curves:
    positive(steps=steps)
    blank = BASELINES[choose("baseline", baseline, BASELINES)]
    probe = Probe(model, images, targets, batch_size, precision)
    fitting(images, maps)
    pixels = maps[0].numel()
    if steps > pixels:
        raise WorkbookValueError(f"{steps} steps are more than the {pixels} pixels of an image: take fewer steps.")
    limits = torch.tensor([pixels * k // steps for k in range(steps + 1)], dtype=torch.int32)

    def curves(block: Tensor) -> np.ndarray:
        """Of the images numbered in `block`; rows are numbered image by image, step by step."""
        whole, places, last = probe.moved(images[block]), ranks(probe.moved(maps[block])), probe.moved(limits)
        before, after = (blank(whole), whole) if coming else (whole, blank(whole))

        def perturbed(rows: Tensor) -> Tensor:
            i, k = (probe.moved(part) for part in (rows // len(limits), rows % len(limits)))
            taken = places[i] < last[k, None, None]
            return torch.where(taken.unsqueeze(1), after[i], before[i])

        return probe.probabilities(perturbed, block.repeat_interleave(len(limits))).reshape(-1, len(limits))

    return Curves(np.concatenate([curves(block) for block in torch.arange(len(images)).split(batch_size)]))
