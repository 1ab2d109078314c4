"""Attention that keeps what a rollout is made of: its maps, heads fused, or its queries and keys.

Fused attention makes no maps, so that a rollout behind it computes softmax(q kᵀ) a second time. Without gradients and on a
CPU it is cheaper to compute them once and openly, a few rows at a time: the heads answer and are fused while their maps are
in the cache, and [B, T, T] is kept of [B, h, T, T].
"""

from __future__ import annotations

from functools import partial

import torch
from timm.layers import Attention
from torch import Tensor, nn

from lib.dcal.rollout import AT_ONCE, HEAD_FUSIONS, Layer
from lib.dcal.vit import answered, attentions, project, refuse_mask, weighted_values
from lib.glsa.attention import at_least_float32

MOST = 8  # tokens a unit of width: with more, a map is over four times as large as the queries and keys


def attend_and_keep(attn: Attention, q: Tensor, k: Tensor, v: Tensor, maps: bool = True) -> tuple[Tensor, Layer]:
    """What the heads answer, and the layer of the rollout: three times [B, h, T, d] → [B, h, T, d] and [B, 1, T, T], or (q, k)
    where `maps` are not wanted, or do not pay."""
    return _openly(q, k, v) if maps and _pays(q) else (weighted_values(attn, q, k, v), (q, k))


def _pays(q: Tensor) -> bool:
    """Half precision rounds too much for maps, and a graph that is exported is to have no loops."""
    _, heads, tokens, width = q.shape
    exact = at_least_float32(q.dtype) == q.dtype and not torch.is_autocast_enabled(q.device.type)
    once = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return q.device.type == "cpu" and exact and once and tokens <= MOST * heads * width


def _openly(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    batch, heads, tokens, width = q.shape
    answers, maps = v.new_empty(v.shape), q.new_empty(batch, 1, tokens, tokens)
    step = min(tokens, max(1, AT_ONCE["cpu"] // (heads * tokens)))
    room = q.new_empty(heads * step * tokens)
    for image in range(batch):
        keys, values = k[image].mT, v[image].contiguous()
        for first in range(0, tokens, step):
            some = slice(first, min(first + step, tokens))
            rows = room[: heads * (some.stop - first) * tokens].view(heads, -1, tokens)
            torch.baddbmm(rows, q[image, :, some], keys, beta=0, alpha=width**-0.5, out=rows)
            torch.softmax(rows, -1, out=rows)
            answers[image, :, some] = rows @ values
            maps[image, 0, some] = HEAD_FUSIONS["mean"](rows[None])[0]
    return answers, maps


class KeptAttention:
    """Each attention of the ViT `vit` keeps its layer of the rollout meanwhile, heads fused by their mean; it answers what it
    did before, but for rounding. `layers` are those of the last forward.

        with torch.no_grad(), KeptAttention(vit) as kept:
            vit(images)
        AttentionRollout().row(kept.layers)

    Raises:
        WorkbookValueError: the attention cannot be read; see `lib.dcal.vit.attentions`.
    """

    def __init__(self, vit: nn.Module) -> None:
        self._attentions = attentions(vit)
        self.layers: list[Layer] = []

    def __enter__(self) -> KeptAttention:
        for attn in self._attentions:
            attn.forward = partial(self._forward, attn)
        return self

    def __exit__(self, *error: object) -> None:
        for attn in self._attentions:
            del attn.forward

    def _forward(
        self,
        attn: nn.Module,
        x: Tensor,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        rope: Tensor | None = None,
    ) -> Tensor:
        refuse_mask(attn_mask, is_causal)
        if attn is self._attentions[0]:
            self.layers = []
        heads, layer = attend_and_keep(attn, *project(attn, x, rope=rope))
        self.layers.append(layer)
        return answered(attn, heads, x)
