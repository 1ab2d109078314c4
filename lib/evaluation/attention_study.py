"""Where trained networks attend on their test images, and what may be said about it over images and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lib import hardware
from lib.errors import WorkbookValueError, unknown
from lib.evaluation.attention_measures import measures
from lib.evaluation.test_images import TestImages, select_images
from lib.mapped import Kind
from lib.statistics.estimates import Comparison, Estimate, difference_of, estimate_of
from lib.statistics.resampling import mean_samples
from lib.training.store import Run, RunStore
from lib.training.training_data import prepare

COMPARED = 300  # test images in a comparison of runs


@dataclass(frozen=True)
class AttentionMaps:
    """What a DCAL network's class token looks at in N images, float32; of layers the first comes first."""

    rollouts: np.ndarray  # [L, N, h, w]: through the first 1, 2, … layers
    heads: np.ndarray  # [L, N, H, h, w]: the attention of each head
    selected: np.ndarray | None = None  # [N, h, w]: 1 where GLCA has a query; None without GLCA
    glca: np.ndarray | None = None  # [N, h, w]: the attention of GLCA's class token

    @property
    def rollout(self) -> np.ndarray:
        """[N, h, w]: through all layers."""
        return self.rollouts[-1]

    def of(self, places: Sequence[int] | slice) -> AttentionMaps:
        """Those of the images at `places`."""
        return AttentionMaps(
            self.rollouts[:, places],
            self.heads[:, places],
            None if self.selected is None else self.selected[places],
            None if self.glca is None else self.glca[places],
        )


def maps_of(run: Run, images: TestImages) -> AttentionMaps:
    """The maps of the network of `run`, a `lib.dcal.DCALNet`, on the images."""
    model, batches = run.model().to(hardware.device()), []
    with torch.inference_mode():
        for batch in images.batches(model):
            model(batch)
            batches.append([(shown.info, shown.float().cpu()) for shown in model.shown()])
    layers: dict[tuple[Kind, str | None], list[np.ndarray]] = {}
    for parts in zip(*batches, strict=True):
        info = parts[0][0]
        layers.setdefault((info.kind, info.along), []).append(torch.cat([values for _, values in parts]).numpy())
    rollouts, heads = (np.stack(layers[kind]) for kind in ((Kind.ROLLOUT, None), (Kind.ATTENTION, "heads")))
    selected, glca = (layers.get((kind, None), [None])[0] for kind in (Kind.SELECTION, Kind.ATTENTION))
    return AttentionMaps(rollouts, heads, selected, glca)


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


def compare_rollouts(first: Sequence[Run], second: Sequence[Run], name: str, count: int = COMPARED) -> Comparison:
    """A measure of the first runs' rollouts minus the second's on `count` test images: what a claim measures.

    Each side is one run a seed, in the order of the seeds: of one seed they are paired.

    Raises:
        WorkbookValueError: another number of runs on one side, or a measure that the images have not.
    """
    config = first[0].config
    images = select_images(config, prepare(config, RunStore(first[0].path.parent)), count, "classes in turn")
    measured = (measure_attention([maps_of(run, images).rollout for run in side], images) for side in (first, second))
    return difference_of(name, *(mean_samples(*side.of(name)) for side in measured), same_networks=True)
