"""The parameter-randomisation check (Adebayo et al., "Sanity Checks for Saliency Maps", arXiv 1810.03292).

A map that stays the same when the network forgets what it has learnt explains the picture, not the network. Parameters
are drawn anew from the top down, a stage at a time (the paper's cascade), and the maps for the class that the whole
network predicted are compared with the first ones.

Known deviation: each tensor of parameters is drawn from a normal distribution with its own mean and spread, not as it
was before training, which a finished network does not tell. So maps do not change because activations grow or vanish.
Quantus' MPRT resets each layer by the module's own rule instead, so that there is no equal number to compare.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError, choose, positive
from lib.explain.methods.eval_guards import unwrapped
from lib.explain.methods.explain import explain, explained
from lib.explain.methods.logits import logits_of
from lib.explain.methods.targets import Targets
from lib.explain.scores.map_similarity import SIMILARITIES
from lib.explain.scores.perturbed_inference import PerturbedInference
from lib.progress import Progress


@dataclass(frozen=True)
class Cascade:
    """`similarity` [stages, N] of the maps to those of the trained network, once everything from the top down to the
    module `lowest` of that stage was drawn anew."""

    lowest: tuple[str, ...]
    similarity: np.ndarray


@dataclass(frozen=True)
class Forgetting:
    """Cascades of several methods on the same images, a list a method: one for each time that the network forgot."""

    cascades: Mapping[str, Sequence[Cascade]]

    @property
    def lowest(self) -> tuple[str, ...]:
        """Down to which module each stage was drawn anew."""
        return next(iter(self.cascades.values()))[0].lowest

    @property
    def similarity(self) -> dict[str, np.ndarray]:
        """[stages, draws · N] of each method."""
        return {name: np.concatenate([each.similarity for each in found], 1) for name, found in self.cascades.items()}

    @property
    def by_draw(self) -> dict[str, np.ndarray]:
        """[draws, stages] of each method, the mean over the images that have a value; NaN where none has."""
        return {
            name: np.stack([pd.DataFrame(each.similarity).mean(axis=1).to_numpy() for each in found])
            for name, found in self.cascades.items()
        }


def forget(
    model: nn.Module, images: Tensor, targets: Targets, methods: Sequence[str], draws: int = 1, stages: int = 3
) -> Forgetting:
    """`randomisation_check` of each of `methods`, with the seeds 0, 1, … of `draws`; it raises the same."""
    cascades: dict[str, list[Cascade]] = {name: [] for name in methods}
    with Progress(len(cascades) * draws, "forgetting", "cascades") as bar:
        for name, seed in product(cascades, range(draws)):
            cascades[name].append(randomisation_check(model, images, targets, name, stages=stages, seed=seed))
            bar.advance(note=name)
    return Forgetting(cascades)


@torch.inference_mode(False)  # where a copy of the network would take no gradients
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
        WorkbookValueError: what `explain` raises, an unknown similarity, or a model without parameters.
    """
    positive(stages=stages)
    model = unwrapped(model)
    compare = SIMILARITIES[choose("similarity", similarity, SIMILARITIES)]
    targets = PerturbedInference(model, images, targets, batch_size).targets
    trained = explain(model, images, targets, method, batch_size=batch_size)
    forgetting, generator = copy.deepcopy(model).requires_grad_(), torch.Generator().manual_seed(seed)
    like = next(model.parameters(), torch.zeros(()))
    names = from_the_top(forgetting, images[:1].to(like.device, like.dtype))
    lowest, similarities = [], []
    for part in np.array_split(names, min(stages, len(names))):
        for name in part:
            draw_anew(forgetting.get_submodule(name), generator)
        _, maps = explained(forgetting, images, targets, method, batch_size=batch_size)
        similarities.append(compare(trained, maps))
        lowest.append(str(part[-1]) or type(model).__name__)
    return Cascade(tuple(lowest), np.stack(similarities))


@torch.inference_mode(False)
@torch.enable_grad()
def from_the_top(model: nn.Module, images: Tensor) -> list[str]:
    """Names of the modules that have parameters of their own, those first that use theirs last in an answer to `images`.

    Use tells, and not a module's end: a ViT adds its own tokens to the patches before its blocks run. Autograd numbers
    its nodes as the forward makes them. Modules that the answer does not depend on, a loss's say, are left out.

    Raises:
        WorkbookValueError: the answer depends on no parameter.
    """
    uses: dict[int, int] = {}  # id of a parameter → number of the last node that takes it
    start = logits_of(model, images.clone()).grad_fn
    if start is None:
        raise WorkbookValueError(f"This {type(model).__name__} has nothing to forget: its answer needs no parameter.")
    seen, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        for source in {source for source, _ in node.next_functions if source is not None}:
            if hasattr(source, "variable"):  # where gradients of a parameter would be added up
                key = id(source.variable)
                uses[key] = max(uses.get(key, 0), node._sequence_nr())
            elif source not in seen:
                seen.add(source)
                waiting.append(source)
    own = {name: [uses.get(id(p), -1) for p in m.parameters(recurse=False)] for name, m in model.named_modules()}
    order = {name: max(numbers) for name, numbers in own.items() if max(numbers, default=-1) >= 0}
    return sorted(order, key=order.__getitem__, reverse=True)


@torch.no_grad()
def draw_anew(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the module's own parameters from normal distributions with the mean and spread that they have."""
    for parameter in module.parameters(recurse=False):
        drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
        parameter.copy_(parameter.mean() + parameter.std(correction=0) * drawn)
