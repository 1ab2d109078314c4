"""How much a map leaves to look at: sparseness and entropy. They ask nothing of the network: a dot drawn at random is sparse.

Maps are [N, H, W], not negative. One that is 0 everywhere says as much as an even one, and counts as one.
"""

import numpy as np
import torch
from torch import Tensor

from lib.evaluation.attention_measures import entropy as normalised_entropy
from lib.evaluation.attention_measures import shares
from lib.explain.scores.pixel_ranks import checked_maps


def even_where_empty(maps: Tensor) -> Tensor:
    """float64 maps, 1 everywhere in each that was 0 everywhere.

    Raises:
        WorkbookValueError: no finite maps [N, H, W].
    """
    checked_maps(maps)
    nothing = (maps == 0).flatten(1).all(1)
    return torch.where(nothing[:, None, None], 1, maps).double()


def sparseness(maps: Tensor) -> np.ndarray:
    """[N]: the Gini index of the pixels (Chalasani et al., ICML 2020, arXiv 1810.06583): 0 where all have the same, near 1
    where one has all. Quantus adds 10⁻⁷ to each pixel."""
    rising = np.sort(shares(even_where_empty(maps).numpy()).reshape(len(maps), -1))
    pixels = rising.shape[1]
    return rising @ (2 * np.arange(1, pixels + 1) - pixels - 1) / pixels


def entropy(maps: Tensor) -> np.ndarray:
    """[N]: the entropy of each pixel's share of the map, which Bhatt et al. (IJCAI 2020, arXiv 2005.00631) call complexity:
    0 where one pixel has all, 1 where all have the same. Quantus does not divide by the greatest, the logarithm of the
    number of pixels."""
    return normalised_entropy(even_where_empty(maps).numpy())
