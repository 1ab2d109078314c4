"""A linear reading of colours finds what colours tell, and nothing where they tell nothing."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.evaluation.classification_baselines import linear_probe
from lib.training.training_data import DecodedImages


def prepared(told: bool):
    """Noisy images of two classes, the second brighter in the upper left corner if that is `told`."""
    rng, labels = np.random.default_rng(0), np.arange(200) % 2
    pixels = rng.integers(0, 160, (200, 32, 32, 3), np.uint8)
    pixels[labels == 1, :8, :8] += np.uint8(60 * told)
    rows, parts = pd.DataFrame({"label": labels}), pd.Series(["train"] * 120 + ["test"] * 80)
    images = SimpleNamespace(rows=rows, classes=("a", "b"))
    return DecodedImages(images, pixels, parts)


@pytest.mark.parametrize(("told", "low", "high"), [(True, 0.95, 1.0), (False, 0.35, 0.65)])
def test_a_linear_probe_reads_colours_and_nothing_else(told, low, high):
    assert low <= linear_probe(prepared(told))["balanced_accuracy"] <= high
