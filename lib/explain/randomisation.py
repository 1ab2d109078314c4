"""The parameter-randomisation check (Adebayo et al., "Sanity Checks for Saliency Maps", arXiv 1810.03292).

A map that stays the same when the network forgets what it has learnt explains the picture, not the network. Parameters
are drawn anew from the top down, a stage at a time (the paper's cascade), and the maps for the class that the whole
network predicted are compared with the first ones.

Known deviation: each tensor of parameters is drawn from a normal distribution with its own mean and spread, not as it
was before training, which a finished network does not tell. So maps do not change because activations grow or vanish.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lib.errors import choose, positive
from lib.explain.methods import explain
from lib.explain.probing import Probe
from lib.explain.similarity import SIMILARITIES
from lib.explain.targets import Targets
from lib.explain.watching import watch


@dataclass(frozen=True)
class Cascade:
    """`similarity` [stages, N] of the maps to those of the trained network, once everything from the top down to the
    module `lowest` of that stage was drawn anew."""

    lowest: tuple[str, ...]
    similarity: np.ndarray


def randomisation_check(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    method: str = "grad-cam",
    *,
    stages: int = 5,
    similarity: str = "spearman",
    seed: int = 0,
    batch_size: int = 32,
) -> Cascade:
    """Compare maps before and after each stage; `model` itself is not touched.

    Args:
        model, images, targets, method, batch_size: see `explain`.
        stages: the modules with parameters are cut into that many parts of equal number.
        similarity: a name in `SIMILARITIES`.
        seed: of what is drawn.

    Raises:
        WorkbookValueError: what `explain` raises, or an unknown similarity.
    """
    positive(stages=stages)
    compare = SIMILARITIES[choose("similarity", similarity, SIMILARITIES)]
    targets = Probe(model, images, targets, batch_size).targets
    trained = explain(model, images, targets, method, batch_size=batch_size)
    forgetting, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    like = next(model.parameters())
    names = from_the_top(forgetting, images[:1].to(like.device, like.dtype))
    lowest, found = [], []
    for part in np.array_split(names, min(stages, len(names))):
        for name in part:
            draw_anew(forgetting.get_submodule(name), generator)
        found.append(compare(trained, explain(forgetting, images, targets, method, batch_size=batch_size)))
        lowest.append(str(part[-1]))
    return Cascade(tuple(lowest), np.stack(found))


def from_the_top(model: nn.Module, images: Tensor) -> list[str]:
    """Names of the modules that have parameters of their own, those called last first.

    One that is never called, as its parameters are used directly, stands beside the one before it in `named_modules`.
    """
    named = {name: m for name, m in model.named_modules() if next(m.parameters(recurse=False), None) is not None}
    calls: list[str] = []
    watch(model, images, named, lambda name, output: calls.append(name))
    order = {name: place for place, name in enumerate(calls)}  # of the last call, where there are several
    last = -1
    for name in named:
        last = order.setdefault(name, last)
    return sorted(named, key=order.__getitem__, reverse=True)


@torch.no_grad()
def draw_anew(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the module's own parameters from normal distributions with the mean and spread that they have."""
    for parameter in module.parameters(recurse=False):
        drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
        parameter.copy_(parameter.mean() + parameter.std(correction=0) * drawn)
