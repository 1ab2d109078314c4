"""What trained networks look at on their test images, and what may be said about it over images and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lib import hardware
from lib.data import ImageSet, Truth, truth_in_view
from lib.errors import WorkbookValueError, unknown
from lib.evaluation.attention_measures import measures
from lib.statistics.estimates import Comparison, Estimate, compare_samples, estimate_of
from lib.statistics.resampling import mean_samples
from lib.training.inference import augmentation_of, network_input
from lib.training.store import Run

BATCH = 128  # images


@dataclass(frozen=True)
class Subjects:
    """Test images as a network is shown them, with the truth about them."""

    images: ImageSet  # these alone
    pixels: np.ndarray  # uint8 [N, H, W, 3], as they are kept
    truth: Truth
    augmentation: str  # that networks were trained with


def subjects_of(run: Run, images: ImageSet, pixels: np.ndarray, rows: np.ndarray) -> Subjects:
    """The `rows` of what `lib.training.prepare` gives for `run`."""
    chosen = replace(images, rows=images.rows.iloc[rows].reset_index(drop=True))
    seen = augmentation_of(run.config)
    return Subjects(chosen, pixels[rows], truth_in_view(chosen, run.config.size, seen), seen)


def maps_of(run: Run, subjects: Subjects) -> dict[str, np.ndarray]:
    """Every map of `lib.dcal.DCALNet.maps` on the subjects, float32 [N, h, w] by name."""
    where = hardware.device()
    model, found = run.model().to(where), []
    with torch.inference_mode():
        for at in range(0, len(subjects.pixels), BATCH):
            model(network_input(model, subjects.pixels[at : at + BATCH], subjects.augmentation, where))
            found.append({name: each.float().cpu().numpy() for name, each in model.maps().items()})
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


@dataclass(frozen=True)
class AttentionMeasures:
    """What one configuration's runs, one a seed, look at on the same images: each measure [S, N]."""

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


def looked(maps: Sequence[np.ndarray], subjects: Subjects) -> AttentionMeasures:
    """Measure `maps`, one [N, h, w] a seed, against the subjects' truth.

    Raises:
        WorkbookValueError: no maps, or maps of another number of images.
    """
    if not maps or any(len(each) != len(subjects.pixels) for each in maps):
        raise WorkbookValueError(f"Give maps of the {len(subjects.pixels)} subjects, once a seed; maps_of makes them.")
    found = [measures(each, subjects.truth) for each in maps]
    values = {name: np.stack([each[name] for each in found]) for name in found[0]}
    return AttentionMeasures(values, subjects.images.rows["group"].to_numpy())


def estimate_attention(side: AttentionMeasures, name: str) -> Estimate:
    """A measure's mean over seeds and images with its 95 % interval (`lib.statistics.intervals`)."""
    return estimate_of(mean_samples(*side.of(name)))


def compare_attention(first: AttentionMeasures, second: AttentionMeasures, name: str) -> Comparison:
    """The first configuration's measure minus the second's, paired by image; with one seed there is no p-value."""
    return compare_samples(name, *(mean_samples(*side.of(name)) for side in (first, second)))
