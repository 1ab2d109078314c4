"""Accuracy on a part of the test images: those of some classes.

::

    half = images_of(runs[0], ("same", "different"))
    compare_on(lesa, plain, half)  # LESA minus its ResNet, where the context decides
"""

from collections.abc import Collection, Sequence

import numpy as np

from lib.errors import WorkbookValueError, choose
from lib.statistics.estimates import Comparison, difference_of
from lib.statistics.resampling import MetricSamples, Tested, aligned, mean_samples


def images_of(run: Tested, classes: Collection[str]) -> frozenset[str]:
    """The ids of the test images of those classes.

    Raises:
        WorkbookValueError: the run has no such class.
    """
    names = [choose("class", name, run.classes) for name in classes]
    table = run.predictions
    return frozenset(table["image_id"][table["label"].isin(names)])


def compare_on(
    first: Sequence[Tested], second: Sequence[Tested], images: Collection[str], same_networks: bool = False
) -> Comparison:
    """Accuracy on `images` alone, the ids of test images: the first configuration minus the second, as `compare` does it.

    Raises:
        WorkbookValueError: no runs, runs tested on different images, or none of `images` among these.
    """
    sides = aligned(first, second)
    chosen = np.isin(sides[0][0].images, list(images))
    if not chosen.any():
        raise WorkbookValueError("None of these images is a test image of the runs: give ids of their predictions.")

    def samples(side: list) -> MetricSamples:
        return mean_samples(np.stack([run.right[chosen] for run in side]).astype(float), side[0].groups[chosen])

    return difference_of("accuracy", *map(samples, sides), same_networks=same_networks)
