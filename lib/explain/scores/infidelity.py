"""Infidelity (Yeh et al., NeurIPS 2019, arXiv 1901.09392, definition 2.1): does a map tell what the class loses with a part?

Squares are taken out of the image, one at a time, and the mean colour (0 in what a network is shown) put in. What the map
has there should be what the class's probability loses:

    infidelity = E[(β Σ_square map − (p(x) − p(x without the square)))²]

A map here has no unit, so β is the factor that fits best, 0 or more, as in the paper's experiments and captum's
`normalize` (where it may be negative, which a map that speaks against the class would gain by); `rescaled=False` takes 1.

A map stands for what a place does for the class, its colours summed. Quantus and captum multiply an attribution by the
difference of the pixels first; where that is left out, or the colours of a pixel sum to 1, both are equal to this on the
same squares. Quantus' own parts are no samples: blocks in the order of rows, each taken out besides those before it.
"""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from lib.errors import positive
from lib.explain.methods.targets import Targets
from lib.explain.scores.complexity import even_where_empty
from lib.explain.scores.image_draws import generator_of
from lib.explain.scores.perturbed_inference import BATCH, PerturbedInference
from lib.explain.scores.pixel_ranks import fitting

SAMPLES = 32  # squares an image
SIDES = (1 / 8, 1 / 2)  # of a square, of the image's shorter side


def infidelity(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    targets: Targets = None,
    *,
    samples: int = SAMPLES,
    rescaled: bool = True,
    seed: int = 0,
    batch_size: int = BATCH,
    precision: str = "32",
) -> np.ndarray:
    """[N]: the infidelity of maps [N, H, W]; less is better.

    Args:
        samples: squares an image.
        rescaled: whether each map is multiplied by the factor that fits best.
        seed: of the squares, which are the same for an image whatever its maps.
        model, images, targets, batch_size, precision: see `lib.explain.scores.perturbed_inference.PerturbedInference`.

    Raises:
        WorkbookValueError: what does not fit together, or cannot be; see `explain`.
    """
    inference = PerturbedInference(model, images, targets, batch_size, precision)
    return Removal(inference, samples, seed).infidelity(maps, rescaled)


class Removal:
    """Squares of each image, and what its class loses without each: asked once, however many maps are scored."""

    def __init__(self, inference: PerturbedInference, samples: int = SAMPLES, seed: int = 0) -> None:
        positive(samples=samples)
        self.inference, self.samples, self.seed = inference, samples, seed

    @cached_property
    def squares(self) -> Tensor:
        """int [N, samples, 4]: top, left, bottom, right."""
        return torch.stack([random_squares(image, self.samples, self.seed) for image in self.inference.images])

    @cached_property
    def losses(self) -> np.ndarray:
        """[N, samples]: the probability of the class less that without the square."""
        images, squares = self.inference.images, self.squares.flatten(0, 1)
        y, x = (torch.arange(side) for side in images.shape[2:])

        def without(rows: Tensor) -> Tensor:
            top, left, bottom, right = squares[rows, :, None].unbind(1)  # [b, 1] each
            inside = ((top <= y) & (y < bottom))[:, :, None] & ((left <= x) & (x < right))[:, None]
            return images[rows // self.samples].masked_fill(inside[:, None], 0)

        kept = self.inference.probabilities(without, torch.arange(len(images)).repeat_interleave(self.samples))
        return self.inference.of_whole("image")[:, None] - kept.reshape(len(images), -1)

    def sums(self, maps: Tensor) -> np.ndarray:
        """[N, samples]: the sum of each map over each of its image's squares."""
        fitting(self.inference.images, maps)
        upto = torch.nn.functional.pad(
            even_where_empty(maps).cumsum(1).cumsum(2), (1, 0, 1, 0)
        )  # of all above and left
        top, left, bottom, right = self.squares.unbind(2)
        n = torch.arange(len(maps))[:, None]
        return (upto[n, bottom, right] - upto[n, top, right] - upto[n, bottom, left] + upto[n, top, left]).numpy()

    def infidelity(self, maps: Tensor, rescaled: bool = True) -> np.ndarray:
        """[N]; see the module."""
        sums, losses = self.sums(maps), self.losses
        if rescaled:
            length = (sums**2).sum(1, keepdims=True)
            sums = sums * np.maximum((sums * losses).sum(1, keepdims=True), 0) / np.where(length > 0, length, 1)
        return ((sums - losses) ** 2).mean(1)


def random_squares(image: Tensor, samples: int, seed: int = 0) -> Tensor:
    """int [samples, 4], top, left, bottom and right of squares in an image [C, H, W]: sides in `SIDES`, all alike likely, and
    so are the places."""
    height, width = image.shape[1:]
    size, corner, generator = min(height, width), torch.tensor([height, width]), generator_of(image, seed)
    least, most = (max(1, round(size * side)) for side in SIDES)
    sides = torch.randint(least, most + 1, (samples, 1), generator=generator)
    first = (torch.rand(samples, 2, generator=generator) * (corner - sides + 1)).long()
    return torch.cat([first, first + sides], dim=1)
