"""Which patch tokens GLCA looks at: the highest scores, by rollout or, for ablations, by something simpler."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lib.dcal.rollout import AttentionRollout, Layer
from lib.errors import WorkbookValueError

Layers = list[Layer]


def by_rollout(layers: Layers, training: bool) -> Tensor:
    """The class token's row of the rollout through all layers (the paper's choice)."""
    return AttentionRollout().row(layers)


def by_last_layer(layers: Layers, training: bool) -> Tensor:
    """What the class token attends to in the last layer, mean over the heads."""
    return AttentionRollout().row(layers[-1:])


def by_chance(layers: Layers, training: bool) -> Tensor:
    """Any tokens, drawn anew at every forward in training; in eval mode the same at every call."""
    keys = layers[-1][1]  # who asks for chance keeps no maps
    batch, _, tokens, _ = keys.shape
    device = keys.device
    generator = None if training else torch.Generator(device).manual_seed(0)
    return torch.rand(batch, tokens, device=device, generator=generator)


# name → (layers of the rollout, training) → scores of all T tokens [B, T]
SELECTIONS: dict[str, Callable[[Layers, bool], Tensor]] = {
    "rollout": by_rollout,
    "last_layer": by_last_layer,
    "random": by_chance,
}


def check_ratio(top_ratio: float) -> float:
    """`top_ratio`, if it is in (0, 1]; else a WorkbookValueError."""
    if isinstance(top_ratio, bool) or not isinstance(top_ratio, (int, float)) or not 0 < top_ratio <= 1:
        raise WorkbookValueError(
            f"top_ratio must be above 0 and at most 1, not {top_ratio!r}. The paper takes 0.1 for fine-grained "
            "recognition and 0.3 for re-identification."
        )
    return float(top_ratio)


def top_patches(scores: Tensor, top_ratio: float) -> Tensor:
    """[B, N] → [B, R]: the places of the R = ⌈top_ratio · N⌉ highest scores, best first."""
    share = round(check_ratio(top_ratio) * scores.shape[1], 6)  # 0.1 · 30 is 3.0000000000000004
    return scores.topk(max(1, math.ceil(share)), dim=1).indices
