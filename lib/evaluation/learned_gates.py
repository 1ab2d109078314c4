"""What the gates of trained blocks have learned: their values over test images, and where they began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from lib.evaluation.test_images import TestImages, select_images
from lib.training.build_model import build_model
from lib.training.config import RunConfig
from lib.training.store import Run, RunStore
from lib.training.training_data import prepare

GATES = {  # maps of a block that weigh one thing against another, and what a value of 1 means
    "fusion_gate": "gate: 1 is global only, 0 local only",
    "fusion_weight_global": "weight of the global map",
    "fusion_weight_local": "weight of the local map",
    "fusion_weight_product": "weight of their product",
    "residual_alpha": "weight of the block's output against its input",
}
PERCENTILES = (5, 25, 50, 75, 95)


class Configuration(Protocol):
    """A configuration of a study: `lib.report.study.study.Row`."""

    name: str
    config: RunConfig

    @property
    def finished(self) -> Sequence[Run]:
        """Its finished runs, one a seed."""


@dataclass(frozen=True)
class Gate:
    """One gate of one configuration: the spread of its values over images, channels and positions, all seeds."""

    strategy: str
    name: str  # a key of GATES
    percentiles: tuple[float, ...]  # of PERCENTILES
    means: tuple[float, ...]  # one a seed
    start: float  # the mean before training, first seed


def learned_gates(tables: Mapping[str, Sequence[Configuration]], store: RunStore, count: int = 64) -> list[Gate]:
    """The gates of finished runs on the first `count` images of each one's test part.

    Args:
        tables: rows by the part of the block that they vary, 'fusion' or 'residual'; of them that part's gates.
    """
    gates = []
    for part, rows in tables.items():
        for row in rows:
            if row.finished:
                images = select_images(row.config, prepare(row.config, store), count)
                seeds = [gate_values(run.model(), images) for run in row.finished]
                before = gate_values(_untrained(row.finished[0].config, len(row.finished[0].classes)), images)
                names = [name for name in before if name.startswith(part)]
                gates += [_gate(f"{part} {row.name}", n, [seed[n] for seed in seeds], before[n]) for n in names]
    return gates


@torch.inference_mode()
def gate_values(model: nn.Module, images: TestImages) -> dict[str, np.ndarray]:
    """All values of each gate of `model` over images, flat; nothing for a block without gates."""
    if not hasattr(model, "maps"):
        return {}
    values: dict[str, list[np.ndarray]] = {}
    for batch in images.batches(model.eval()):
        model(batch)
        maps: Mapping[str, torch.Tensor] = model.maps()
        for name in GATES.keys() & maps.keys():
            values.setdefault(name, []).append(maps[name].float().cpu().numpy().ravel())
    return {name: np.concatenate(values[name]) for name in GATES if name in values}


def _gate(strategy: str, name: str, seeds: Sequence[np.ndarray], before: np.ndarray) -> Gate:
    spread = np.percentile(np.concatenate(seeds), PERCENTILES).tolist()
    return Gate(strategy, name, tuple(spread), tuple(float(values.mean()) for values in seeds), float(before.mean()))


def _untrained(config: RunConfig, classes: int) -> nn.Module:
    """The network as its training began, but for pretrained weights, which the block has none of."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return build_model(config, classes, pretrained=False)
