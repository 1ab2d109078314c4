"""Remove and debias (ROAD, Rong et al., arXiv 2202.00449): pixels are taken away and filled in from those around them.

MoRF takes the most relevant first: a low probability of the class is good. LeRF takes the least relevant first: a high
one is good. Filled-in pictures look like pictures, and where pixels were taken cannot be told from them.

Quantus' ROAD is another number: of each share, whether the class is still the one predicted, a mean over images that a single
image cannot have; and it orders the colours of a pixel one by one.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError, choose
from lib.explain.methods.targets import Targets
from lib.explain.scores.imputation import imputed
from lib.explain.scores.perturbed_inference import BATCH, PerturbedInference
from lib.explain.scores.pixel_ranks import fitting, ranks

# Name → (places from the most relevant pixel on) → places from the one that goes first on, [N, H, W]
ORDERS: dict[str, Callable[[Tensor], Tensor]] = {
    "MoRF": lambda places: places,
    "LeRF": lambda places: places[0].numel() - 1 - places,
}
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the pixels


def road(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    targets: Targets = None,
    *,
    order: str = "MoRF",
    shares: Sequence[float] = SHARES,
    batch_size: int = BATCH,
    precision: str = "32",
) -> np.ndarray:
    """The class's probability [N, len(shares)] without each share of the pixels.

    Args:
        order: "MoRF" or "LeRF".
        shares: of the pixels that are taken away, above 0 and below 1.
        model, images, maps, targets, batch_size, precision: see `lib.explain.scores.deletion_insertion.deletion`.

    Raises:
        WorkbookValueError: what does not fit together, or cannot be.
    """
    inference = PerturbedInference(model, images, targets, batch_size, precision)
    return road_probabilities(inference, maps, order, shares)


def road_probabilities(
    inference: PerturbedInference, maps: Tensor, order: str, shares: Sequence[float] = SHARES
) -> np.ndarray:
    """As `road`, for the images of `inference`."""
    places_of = ORDERS[choose("order", order, ORDERS)]
    if not shares or not all(0 < share < 1 for share in shares):
        raise WorkbookValueError(f"shares of the pixels are above 0 and below 1, not {list(shares)}.")
    fitting(inference.images, maps)
    pixels = maps[0].numel()

    def probabilities(share: float) -> np.ndarray:
        """[N] without that share of the pixels."""

        def filled_in(i: Tensor) -> Tensor:
            places = places_of(ranks(inference.on_device(maps[i])))
            return imputed(inference.on_device(inference.images[i]), places < share * pixels)

        return inference.probabilities(filled_in, torch.arange(len(maps)))

    return np.stack([probabilities(share) for share in shares], axis=1)
