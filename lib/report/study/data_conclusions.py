"""Notebook 01 in a few numbers and a sentence."""

import pandas as pd

from lib.data import ImageSet
from lib.data.survey import views_per_lesion

LEAKS = 0.01  # of the test images: from there on a split over images is said to leak


def data_figures(images: ImageSet, copies: pd.DataFrame, leaky: pd.DataFrame, honest: pd.DataFrame) -> dict[str, str]:
    """The six key figures.

    Args:
        copies: what `identical_images` found.
        leaky, honest: `leakage` of a split over images and of one over lesions.
    """
    views, counts = views_per_lesion(images), images.counts
    return {
        "images": f"{len(images.rows):,}",
        "lesions": f"{views.sum():,} ({views[views.index > 1].sum():,} with several views)",
        "imbalance": f"{counts.max() / counts.min():.0f} : 1",
        "byte-identical images": f"{len(copies)}",
        "test images that leak, image-level split": f"{100 * leaky['all'].mean():.1f} %",
        "test images that leak, lesion-level split": f"{100 * honest['all'].max():.1f} %",
    }


def leak_verdict(leaky: pd.DataFrame) -> str:
    """What a split over images would do, in one sentence, and what is done instead."""
    leaked = leaky["all"].mean()
    if leaked <= LEAKS:
        return "A split over images hardly leaks here; the lesion-level split costs nothing and stays the default."
    return (
        f"A split over images would place {100 * leaked:.0f} % of the test images beside a training image of the same "
        "lesion; every result in this workbook is therefore measured on a split that keeps lesions whole."
    )
