"""What the gates of trained blocks have learned: their values over test images, and where they began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from lib.training.build_model import build_model
from lib.training.config import RunConfig
from lib.training.inference import EVALUATION_BATCH, network_input
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


def learned_gates(tables: Mapping[str, Sequence[Configuration]], store: RunStore, images: int = 64) -> list[Gate]:
    """The gates of finished runs on the first `images` images of each one's test part.

    Args:
        tables: rows by the part of the block that they vary, 'fusion' or 'residual'; of them that part's gates.
    """
    found = []
    for part, rows in tables.items():
        for row in rows:
            if row.finished:
                pixels = _test_pixels(row.config, store, images)
                after = [gate_values(run.model(), pixels) for run in row.finished]
                before = gate_values(_untrained(row.finished[0].config, len(row.finished[0].classes)), pixels)
                names = [name for name in before if name.startswith(part)]
                found += [_gate(f"{part} {row.name}", n, [each[n] for each in after], before[n]) for n in names]
    return found


def gate_values(model: nn.Module, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """All values of each gate of `model` over images [N, H, W, 3], flat; nothing for a block without gates."""
    if not hasattr(model, "maps"):
        return {}
    found: dict[str, list[np.ndarray]] = {}
    for first in range(0, len(pixels), EVALUATION_BATCH):
        with torch.inference_mode():
            model.eval()(network_input(model, pixels[first : first + EVALUATION_BATCH]))
            maps: Mapping[str, torch.Tensor] = model.maps()
        for name in GATES.keys() & maps.keys():
            found.setdefault(name, []).append(maps[name].float().numpy().ravel())
    return {name: np.concatenate(found[name]) for name in GATES if name in found}


def _gate(strategy: str, name: str, seeds: Sequence[np.ndarray], before: np.ndarray) -> Gate:
    spread = np.percentile(np.concatenate(seeds), PERCENTILES).tolist()
    return Gate(strategy, name, tuple(spread), tuple(float(values.mean()) for values in seeds), float(before.mean()))


def _test_pixels(config: RunConfig, store: RunStore, images: int) -> np.ndarray:
    _, pixels, parts = prepare(config, store)
    return pixels[np.flatnonzero(parts == "test")[:images]]


def _untrained(config: RunConfig, classes: int) -> nn.Module:
    """The network as its training began, but for pretrained weights, which the block has none of."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return build_model(config, classes, pretrained=False)
