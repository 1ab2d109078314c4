"""What the gates of trained blocks have learned: their values over test images, and where they began."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lib.evaluation.test_images import TestImages, select_images
from lib.mapped import MapInfo, shown_by
from lib.training.build_model import build_model
from lib.training.config import RunConfig
from lib.training.store import Run, RunStore
from lib.training.training_data import prepare

PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Gate:
    """One gate of one configuration: the spread of its values over images, channels and positions, all seeds."""

    strategy: str
    name: str  # of the map
    meaning: str  # of a value of 1
    percentiles: tuple[float, ...]  # of PERCENTILES
    means: tuple[float, ...]  # one a seed
    start: float  # the mean before training, first seed


def learned_gates(tables: Mapping[str, Mapping[str, Sequence[Run]]], store: RunStore, count: int = 64) -> list[Gate]:
    """The gates of finished runs on the first `count` images of each one's test part.

    Args:
        tables: finished runs, one a seed, by strategy and by the part of the block that it is of, 'fusion' or
            'residual'; of them that part's gates.
    """
    gates = []
    for part, strategies in tables.items():
        for strategy, runs in strategies.items():
            if runs:
                config = runs[0].config
                images = select_images(config, prepare(config, store), count)
                seeds = [gate_values(run.model(), images) for run in runs]
                before = gate_values(_untrained(config, len(runs[0].classes)), images)
                infos = [info for info in before if info.name.startswith(part)]
                gates += [_gate(f"{part} {strategy}", i, [seed[i] for seed in seeds], before[i]) for i in infos]
    return gates


@torch.inference_mode()
def gate_values(model: nn.Module, images: TestImages) -> dict[MapInfo, np.ndarray]:
    """All values of each map of `model` over images whose declaration says what 1 means, flat."""
    values: dict[MapInfo, list[np.ndarray]] = {}
    for batch in images.batches(model.eval()):
        model(batch)
        for shown in shown_by(model):
            if shown.info.meaning:
                values.setdefault(shown.info, []).append(shown.float().cpu().numpy().ravel())
    return {info: np.concatenate(of_batches) for info, of_batches in values.items()}


def _gate(strategy: str, info: MapInfo, seeds: Sequence[np.ndarray], before: np.ndarray) -> Gate:
    spread = tuple(np.percentile(np.concatenate(seeds), PERCENTILES).tolist())
    means = tuple(float(values.mean()) for values in seeds)
    return Gate(strategy, info.name, info.meaning, spread, means, float(before.mean()))


def _untrained(config: RunConfig, classes: int) -> nn.Module:
    """The network as its training began, but for pretrained weights, which the block has none of."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return build_model(config, classes, pretrained=False)
