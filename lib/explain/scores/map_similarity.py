"""How alike maps are: rank correlation and structural similarity, image by image; agreement between methods."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from einops import rearrange
from scipy.stats import rankdata
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from lib.errors import WorkbookValueError
from lib.explain.scores.pixel_ranks import checked_maps

SMALLEST = 6  # pixels a side, of maps to which half of SSIM's window of 11 can be added by reflection


def rank_correlation(first: Tensor, second: Tensor) -> np.ndarray:
    """[N]: Spearman's correlation of maps [N, H, W] over their pixels; NaN where one of the two is even."""
    return (_standardised(first) * _standardised(second)).sum(axis=1)


def structural_similarity(first: Tensor, second: Tensor) -> np.ndarray:
    """[N]: SSIM (Wang et al., IEEE TIP 2004) of maps from 0 to 1, [N, H, W], as torchmetrics has it.

    Raises:
        WorkbookValueError: maps that its window does not fit into.
    """
    if min(first.shape[1:]) < SMALLEST:
        raise WorkbookValueError(
            f"The structural similarity is of maps of {SMALLEST}×{SMALLEST} pixels at least, not of "
            f"{'×'.join(map(str, first.shape[1:]))}: take similarity='spearman', or larger images."
        )
    pair = (rearrange(maps.float(), "n h w -> n 1 h w") for maps in (first, second))
    return structural_similarity_index_measure(*pair, data_range=1.0, reduction="none").reshape(-1).numpy()


SIMILARITIES: dict[str, Callable[[Tensor, Tensor], np.ndarray]] = {
    "spearman": rank_correlation,
    "ssim": structural_similarity,
}


def agreement(maps: Mapping[str, Tensor]) -> pd.DataFrame:
    """Rank correlation of each method's maps with each other's, mean over the images that both are not even on.

    Args:
        maps: [N, H, W] by method, of the same images.

    Raises:
        WorkbookValueError: no maps, or maps of different shapes.
    """
    shapes = {tuple(method_maps.shape) for method_maps in maps.values()}
    if len(shapes) != 1:
        raise WorkbookValueError(f"Agreement is between maps of the same images, not of shapes {sorted(shapes)}.")
    rows = np.stack([_standardised(method_maps) for method_maps in maps.values()])  # [M, N, P]
    correlations = np.einsum("mnp,knp->nmk", rows, rows)
    known = np.isfinite(correlations)
    with np.errstate(invalid="ignore"):  # two methods that share no image with a map
        means = np.where(known, correlations, 0).sum(0) / known.sum(0)
    return pd.DataFrame(means, index=list(maps), columns=list(maps))


def _standardised(maps: Tensor) -> np.ndarray:
    """Ranks [N, P] of the pixels, equal ones their mean rank, less their mean and divided by their length."""
    checked_maps(maps)
    ranks = rankdata(maps.flatten(1).numpy(), axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    return ranks / np.where(length > 0, length, np.nan)
