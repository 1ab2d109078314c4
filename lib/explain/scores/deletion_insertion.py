"""Deletion and insertion (Petsiuk et al., RISE, arXiv 1806.07421): what becomes of the class as pixels go, or come.

Deletion takes the most relevant pixels away first, so that the class's probability should fall fast: a small area under
the curve is good. Insertion begins with the baseline and puts the most relevant pixels in first: a large area is good.
As in the paper pixels are deleted to the mean colour (0 in what a network is shown) and inserted into a blurred image
(a Gaussian of 11 pixels and σ = 5). Deleted pictures are unlike any in training, so that a drop may mean "strange" as
well as "this was it"; `lib.explain.scores.road` fills holes in instead. Quantus' PixelFlipping is deletion without the whole
image, to 0 by `perturb_baseline=0.0`, and in its steps the colours of a pixel count one by one.

All images and steps go through the network in batches of equal size, whichever image they belong to, and each is one
comparison of ranks with a number. The ends of a curve, which are the same for all maps of an image, are asked once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from lib.errors import WorkbookValueError, choose, positive
from lib.explain.methods.targets import Targets
from lib.explain.scores.perturbed_inference import BATCH, PerturbedInference
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


@dataclass(frozen=True)
class Perturbation:
    """How the class's probability changes while the most relevant pixels of an image go, or come.

    Args:
        baseline: a name in `BASELINES`, what stands where there are no pixels of the image.
        inserts: whether the pixels are put into the baseline; else the baseline's replace them.
    """

    baseline: str
    inserts: bool

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        maps: Tensor,
        targets: Targets = None,
        *,
        steps: int = 50,
        baseline: str | None = None,
        batch_size: int = BATCH,
        precision: str = "32",
    ) -> Curves:
        """The curves of N images.

        Args:
            maps: [N, H, W], what `explain` gives.
            steps: equal shares of the pixels.
            baseline: a name in `BASELINES`; None for the perturbation's own.
            model, images, targets, batch_size, precision: see `PerturbedInference`.

        Raises:
            WorkbookValueError: what does not fit together, or cannot be; see `explain`.
        """
        inference = PerturbedInference(model, images, targets, batch_size, precision)
        return self.curves(inference, maps, steps, baseline)

    def curves(self, inference: PerturbedInference, maps: Tensor, steps: int, baseline: str | None = None) -> Curves:
        """The curves of the images of `inference`."""
        positive(steps=steps)
        name = choose("baseline", baseline or self.baseline, BASELINES)
        blank = BASELINES[name]
        fitting(inference.images, maps)
        pixels = maps[0].numel()
        if steps > pixels:
            raise WorkbookValueError(f"{steps} steps are more than the {pixels} pixels of an image: take fewer steps.")
        limits = torch.tensor([pixels * k // steps for k in range(1, steps)], dtype=torch.int32)

        def probabilities(block: Tensor) -> np.ndarray:
            """[b, steps − 1] of the images numbered in `block`; rows are numbered image by image, step by step."""
            images, places = inference.on_device(inference.images[block]), ranks(inference.on_device(maps[block]))
            before, after = (blank(images), images) if self.inserts else (images, blank(images))

            def perturbed(rows: Tensor) -> Tensor:
                i, taken = inference.on_device(rows // len(limits)), limits[rows % len(limits)]
                exchanged = places[i] < inference.on_device(taken)[:, None, None]
                return torch.where(exchanged.unsqueeze(1), after[i], before[i])

            rows = block.repeat_interleave(len(limits))
            return inference.probabilities(perturbed, rows).reshape(-1, len(limits))

        blocks = torch.arange(len(maps)).split(inference.batch_size) if steps > 1 else ()
        between = [np.concatenate([probabilities(block) for block in blocks])] if blocks else []
        whole, gone = inference.of_whole("image"), inference.of_whole(name, blank)
        first, last = (gone, whole) if self.inserts else (whole, gone)
        return Curves(np.column_stack([first, *between, last]))


deletion = Perturbation(baseline="mean", inserts=False)
insertion = Perturbation(baseline="blur", inserts=True)
