"""Where trained networks attend on their test images, and what may be said about it over images and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lib import hardware
from lib.errors import WorkbookValueError, unknown
from lib.evaluation.attention_measures import measures
from lib.evaluation.test_images import TestImages
from lib.statistics.estimates import Comparison, Estimate, difference_of, estimate_of
from lib.statistics.resampling import mean_samples
from lib.training.store import Run


def maps_of(run: Run, images: TestImages) -> dict[str, np.ndarray]:
    """Every map of `lib.dcal.DCALNet.maps` on the images, float32 [N, h, w] by name."""
    model, batches = run.model().to(hardware.device()), []
    with torch.inference_mode():
        for batch in images.batches(model):
            model(batch)
            batches.append({name: values.float().cpu().numpy() for name, values in model.maps().items()})
    return {name: np.concatenate([maps[name] for maps in batches]) for name in batches[0]}


@dataclass(frozen=True)
class AttentionMeasures:
    """Where one configuration's runs, one a seed, attend on the same images: each measure [S, N]."""

    values: dict[str, np.ndarray]
    groups: np.ndarray  # [N]

    def of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A measure of the images whose truth it knows, [S, M], and their groups [M].

        Raises:
            WorkbookValueError: there is no such measure.
        """
        if name not in self.values:
            raise unknown("measure", name, self.values)
        known = np.isfinite(self.values[name]).all(axis=0)
        return self.values[name][:, known], self.groups[known]


def measure_attention(maps: Sequence[np.ndarray], images: TestImages) -> AttentionMeasures:
    """Measure `maps`, one [N, h, w] a seed, against what is true of the images.

    Raises:
        WorkbookValueError: no maps, or maps of another number of images.
    """
    if not maps or any(len(of_seed) != len(images) for of_seed in maps):
        raise WorkbookValueError(f"Give maps of the {len(images)} test images, once a seed; maps_of makes them.")
    seeds = [measures(of_seed, images.truth) for of_seed in maps]
    return AttentionMeasures({name: np.stack([seed[name] for seed in seeds]) for name in seeds[0]}, images.groups)


def estimate_attention(side: AttentionMeasures, name: str) -> Estimate:
    """A measure's mean over seeds and images with its 95 % interval (`lib.statistics.intervals`)."""
    return estimate_of(mean_samples(*side.of(name)))


def compare_attention(first: AttentionMeasures, second: AttentionMeasures, name: str) -> Comparison:
    """The first configuration's measure minus the second's, paired by image; with one seed there is no p-value."""
    return difference_of(name, *(mean_samples(*side.of(name)) for side in (first, second)))
