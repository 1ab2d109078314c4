"""Attention that keeps what a rollout is made of while a network runs, whoever wrote the network.

All of timm's, torchvision's and Hugging Face's transformers compute their attention by one function of PyTorch, or write
out its softmax. Both are read where they are called, so that queries and keys are those of the network: turned by their
place (Eva, DINOv3), and with the bias of their places in what is added to the scores (BEiT).

Fused attention makes no maps, so that a rollout behind it computes softmax(q kᵀ) a second time. Without gradients and on a
CPU it is cheaper to compute them once and openly, a few rows at a time: the heads answer and are fused while their maps are
in the cache, and [B, T, T] is kept of [B, h, T, T].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from timm.layers import Attention
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from lib.dcal.rollout import AT_ONCE, LINE, Layer
from lib.dcal.vit import answered, project, refuse_mask, weighted_values
from lib.glsa.attention import at_least_float32

MOST = 8  # tokens a unit of width: with more, a map is over four times as large as the queries and keys
SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)


class OpenAttention:
    """softmax(q kᵀ / √d + bias) v a few rows at a time, with its maps. Its room is used again by the next layer."""

    def __init__(self) -> None:
        self._room: dict[object, Tensor] = {}

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Three times [B, h, T, d], and what is added to the scores [B, h, T, T] → [B, h, T, d] and [B, 1, T, T]"""
        batch, heads, tokens, width = q.shape
        wide = -(-tokens // LINE) * LINE
        step = min(tokens, max(1, AT_ONCE["cpu"] // (heads * wide)))
        keys, room = self._zeros(q, heads, wide, width), self._zeros(q, heads * step * wide)
        answers = v.new_empty(batch, tokens, heads, width).transpose(1, 2)
        maps, mean = q.new_empty(batch, tokens, wide), q.new_full((1, heads), 1 / heads)
        for image in range(batch):
            torch.mul(k[image], width**-0.5, out=keys[:, :tokens])
            for first in range(0, tokens, step):
                some = slice(first, min(first + step, tokens))
                rows = room[: heads * (some.stop - first) * wide].view(heads, -1, wide)
                torch.bmm(q[image, :, some], keys.mT, out=rows)
                if bias is not None:
                    rows[:, :, :tokens] += bias[image, :, some]
                rows[:, :, tokens:] = -torch.inf
                torch.softmax(rows, -1, out=rows)
                torch.bmm(rows[:, :, :tokens], v[image], out=answers[image, :, some])
                torch.mm(mean, rows.view(heads, -1), out=maps[image, some].view(1, -1))
        return answers, maps[:, None, :, :tokens]

    def _zeros(self, like: Tensor, *shape: int) -> Tensor:
        """Zeros at first, then what the last layer has left there."""
        kind = (shape, like.dtype, torch.is_inference_mode_enabled())
        if kind not in self._room:
            self._room[kind] = like.new_zeros(shape)
        return self._room[kind]


def attend_and_keep(
    attn: Attention, q: Tensor, k: Tensor, v: Tensor, openly: OpenAttention | None
) -> tuple[Tensor, Layer]:
    """What the heads answer, and the layer of the rollout: three times [B, h, T, d] → [B, h, T, d] and [B, 1, T, T], or (q, k)
    where nobody attends `openly`, or it does not pay."""
    return openly(q, k, v) if openly and _pays(q) else (weighted_values(attn, q, k, v), (q, k))


def _pays(q: Tensor) -> bool:
    """Half precision rounds too much for maps, and a graph that is exported is to have no loops."""
    _, heads, tokens, width = q.shape
    exact = at_least_float32(q.dtype) == q.dtype and not torch.is_autocast_enabled(q.device.type)
    once = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return q.device.type == "cpu" and exact and once and tokens <= MOST * heads * width


@dataclass(frozen=True)
class Attended:
    """One attention: queries, keys and values [B, h, T, d] and what is added to their scores [B, h, T, T], without their graph,
    and with it what the `heads` answer [B, h, T, d], unless the forward was to end before."""

    q: Tensor
    k: Tensor
    v: Tensor
    bias: Tensor | None
    heads: Tensor | None

    @property
    def maps(self) -> Tensor:
        """softmax(q kᵀ / √d + bias), [B, h, T, T] in full precision"""
        exact = at_least_float32(self.q.dtype)
        scores = (self.q @ self.k.mT).to(exact) * self.q.shape[-1] ** -0.5
        return (scores if self.bias is None else scores + self.bias.to(exact)).softmax(-1)

    @property
    def layer(self) -> Layer:
        """For a rollout: queries and keys [B, h, T, d]; with a bias the maps' mean over the heads, [B, 1, T, T]."""
        return (self.q, self.k) if self.bias is None else self.maps.mean(1, keepdim=True)

    @property
    def traced(self) -> Tensor | None:
        """What has a graph: what the heads answer."""
        return self.heads

    def of_maps(self, gradient: Tensor) -> Tensor:
        """The gradient of the maps, from that of `traced`."""
        exact = at_least_float32(gradient.dtype)
        return gradient.to(exact) @ self.v.to(exact).mT


@dataclass(frozen=True)
class AttendedOpenly:
    """One attention whose `maps` [B, h, T, T] were written out; see `Attended`."""

    maps: Tensor

    @property
    def layer(self) -> Layer:
        """For a rollout: the maps [B, h, T, T], without their graph."""
        return self.maps.detach()

    @property
    def traced(self) -> Tensor:
        """What has a graph: the maps, where gradients are recorded."""
        return self.maps

    def of_maps(self, gradient: Tensor) -> Tensor:
        """The gradient of the maps, from that of `traced`: the same."""
        return gradient


Kept = Attended | AttendedOpenly


class _Enough(BaseException):
    """All that was asked for is kept; no error, so that nobody handles it."""


class KeptAttention(TorchFunctionMode):
    """Keeps every attention of tokens to themselves that is computed meanwhile; networks answer what they did before, but for
    rounding.

        with torch.no_grad(), KeptAttention() as kept:
            vit(images)
        AttentionRollout().row(kept.layers)

    `attended` are all in their order. Without gradients maps are kept with heads fused by their mean, where that pays.

    Args:
        within: the modules that attend, where they are known: elsewhere nothing is looked at, which costs a tenth of a small
            network's time.
        enough: after so many attentions the forward, and with it the with-block, ends without an answer; None: never.

    Raises:
        WorkbookValueError: meanwhile, where attention is causal, which no rollout knows.
    """

    def __init__(self, within: Sequence[nn.Module] = (), enough: int | None = None) -> None:
        super().__init__()
        self.attended: list[Kept] = []
        self._within, self._enough, self._openly = within, enough, OpenAttention()
        self._own = [vars(module).get("forward") for module in within]  # forwards that are no longer their class's

    def __enter__(self) -> KeptAttention:
        if not self._within:
            return super().__enter__()
        for module in self._within:
            plain = getattr(module.forward, "__func__", None) is Attention.forward
            module.forward = partial(self._taken_apart, module) if plain else partial(self._looked_at, module.forward)
        return self

    def __exit__(self, kind: type | None, *error: object) -> bool:
        if not self._within:
            super().__exit__(kind, *error)
        for module, own in zip(self._within, self._own, strict=True):
            del module.forward
            if own is not None:
                module.forward = own
        return kind is _Enough

    def _taken_apart(
        self, attn: Attention, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """What timm's own attention answers, without a look at every function that it calls."""
        return answered(attn, self._attend(*project(attn, x), attn_mask, is_causal=is_causal), x)

    def _looked_at(self, forward: Callable, *args: Any, **kwargs: Any) -> Any:
        super().__enter__()
        try:
            return forward(*args, **kwargs)
        finally:
            super().__exit__(None, None, None)

    @property
    def layers(self) -> list[Layer]:
        """Those of a rollout, first to last."""
        return [each.layer for each in self.attended]

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention:
            return self._attend(*args, **kwargs)
        if func is F.multi_head_attention_forward and _plain(*args, **kwargs):
            return self._multi_head(*args[:1], *args[4:7], *args[11:13])
        output = func(*args, **kwargs)
        if func in SOFTMAX and output.ndim == 4 and output.shape[2] == output.shape[3]:
            self._keep(AttendedOpenly(output if output.requires_grad else output.mean(1, keepdim=True)))
        return output

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        **options: Any,
    ) -> Tensor:
        refuse_mask(None, is_causal)
        if q.ndim != 4 or q.shape != k.shape:
            return scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, scale=scale, **options)
        bias = None if attn_mask is None else _added(attn_mask, q)
        if scale is not None:
            q = q * (scale * q.shape[-1] ** 0.5)
        parts = [None if part is None else part.detach() for part in (q, k, v, bias)]
        if len(self.attended) + 1 == self._enough:
            self._keep(Attended(*parts, heads=None))
        if _pays(q):
            heads, maps = self._openly(q, k, v, bias)
            self._keep(AttendedOpenly(maps))
            return heads
        heads = scaled_dot_product_attention(q, k, v, bias, dropout_p)
        self._keep(Attended(*parts, heads))
        return heads

    def _keep(self, attended: Kept) -> None:
        self.attended.append(attended)
        if len(self.attended) == self._enough:
            raise _Enough

    def _multi_head(
        self, x: Tensor, heads: int, weight: Tensor, bias: Tensor, out_weight: Tensor, out_bias: Tensor
    ) -> tuple[Tensor, None]:
        """What `torch.nn.MultiheadAttention` computes of tokens [T, B, D] and themselves."""
        qkv = rearrange(linear(x, weight, bias), "t b (three h d) -> three b h t d", three=3, h=heads)
        return linear(rearrange(self._attend(*qkv), "b h t d -> t b (h d)"), out_weight, out_bias), None


def _plain(
    query: Tensor, key: Tensor, value: Tensor, width: int, heads: int, weight: Tensor | None, *args: Any, **options: Any
) -> bool:
    """Whether multi-head attention is that of tokens to themselves, and nobody asks for its maps or masks some."""
    asked = ("training", "need_weights", "use_separate_proj_weight", "is_causal")
    masks = ("attn_mask", "key_padding_mask", "static_k", "static_v")
    itself = query is key is value and weight is not None and args[1] is args[2] is None  # bias_k and bias_v
    return itself and not args[3] and not any(map(options.get, asked)) and all(options.get(m) is None for m in masks)


def _added(mask: Tensor, q: Tensor) -> Tensor:
    """What a mask adds to the scores of queries [B, h, T, d]: [B, h, T, T], nothing or −∞ where it tells who may be seen."""
    if mask.dtype == torch.bool:
        mask = q.new_zeros(mask.shape).masked_fill(~mask, -torch.inf)
    return mask.expand(*q.shape[:3], q.shape[2])
