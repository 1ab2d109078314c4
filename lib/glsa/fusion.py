"""Fusion R = Fusion(A, L, x) of the global map A and the local map L (GLSA, step 3).

Another strategy is a class with a `forward` and one line:

    class CustomFusion(BaseFusion):
        def __init__(self, channels):
            super().__init__(channels)

        def forward(self, A, L, x_in=None):
            ...

    FUSION_STRATEGIES["custom"] = CustomFusion

What its forward hands to `self.keep(gate=g)` is shown as 'fusion_gate' by `GLSABlock.maps`; one that has something else
to show says so in `shows`, see `lib.mapped.Mapped`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lib.glsa.attention import attention_of, dividing, split_heads, unfold
from lib.glsa.local import squeeze_mlp
from lib.glsa.pointwise import Pointwise, pointwise
from lib.mapped import Kind, Map, MapInfo, Mapped, Query


class BaseFusion(Mapped):
    """(A, L, x), each [B, C, H, W] → R [B, C, H, W]"""

    shows = {
        "gate": MapInfo(Kind.GATE, "channels", "glsa-fusion", meaning="gate: 1 is global only, 0 local only"),
    }

    def __init__(self, channels: int) -> None:
        super().__init__()

    @classmethod
    def build(cls, channels: int, num_heads: int, dim_head: int | None = None) -> BaseFusion:
        """What GLSABlock calls; a strategy that attends overrides it to get the block's heads and their width."""
        return cls(channels)

    def forward(self, A: Tensor, L: Tensor, x_in: Tensor | None = None) -> Tensor:
        """R [B, C, H, W] of the global map A, the local map L and the block's input, each [B, C, H, W]."""
        raise NotImplementedError(f"{type(self).__name__} needs a forward(self, A, L, x_in=None).")


class ProjectedFusion(BaseFusion):
    """R = W mix(A, L), W a 1×1 convolution without bias: all but `cross_attn` differ only in `mix`."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.project = Pointwise(channels, channels)

    def mix(self, A: Tensor, L: Tensor) -> Tensor:
        """What W projects: A and L, each [B, C, H, W] → [B, C, H, W]"""
        raise NotImplementedError(f"{type(self).__name__} needs a mix(self, A, L).")

    def forward(self, A: Tensor, L: Tensor, x_in: Tensor | None = None) -> Tensor:
        return self.project(self.mix(A, L))


class OriginalFusion(ProjectedFusion):
    """A ⊙ L"""

    shows = {}

    def mix(self, A: Tensor, L: Tensor) -> Tensor:
        return A * L


class LearnableGateFusion(ProjectedFusion):
    """g⊙A + (1−g)⊙L, g = σ(W_g [A; L] + b_g) (Highway Networks, arXiv 1505.00387, eqs. 2–3).

    Map: 'gate' [B, C, H, W], 1 where only A counts.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.gate = Pointwise(2 * channels, channels, bias=True)

    def mix(self, A: Tensor, L: Tensor) -> Tensor:
        of_A, of_L = self.gate.weight.chunk(2, dim=1)  # W_g [A; L] without a copy of both
        gate = (pointwise(A, of_A, self.gate.bias) + pointwise(L, of_L)).sigmoid()
        self.keep(gate=gate)
        return torch.lerp(L, A, gate)


class WeightedAddFusion(ProjectedFusion):
    """α̂A + β̂L + γ̂(A⊙L) (fast normalised fusion, EfficientDet, arXiv 1911.09070, section 3.3).

    α̂ = |α| / (|α| + |β| + ε), β̂ likewise, γ̂ = σ(γ); α = β = 1 and γ = 0 at the start. The paper keeps its weights
    positive by a ReLU, where a weight that has reached 0 never comes back, and has no product term.
    Maps: 'weight_global' α̂, 'weight_local' β̂, 'weight_product' γ̂, scalars.
    """

    EPS = 1e-4
    shows = {
        "weight_global": MapInfo(Kind.WEIGHT, meaning="weight of the global map"),
        "weight_local": MapInfo(Kind.WEIGHT, meaning="weight of the local map"),
        "weight_product": MapInfo(Kind.WEIGHT, meaning="weight of their product"),
    }

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.alpha = nn.Parameter(torch.tensor(1.0))
        self.beta = nn.Parameter(torch.tensor(1.0))
        self.gamma = nn.Parameter(torch.tensor(0.0))

    def mix(self, A: Tensor, L: Tensor) -> Tensor:
        alpha, beta = self.alpha.abs(), self.beta.abs()
        total = alpha + beta + self.EPS
        alpha, beta, gamma = alpha / total, beta / total, self.gamma.sigmoid()
        self.keep(weight_global=alpha, weight_local=beta, weight_product=gamma)
        return alpha * A + beta * L + gamma * (A * L)


class ChannelAttentionFusion(ProjectedFusion):
    """w_A⊙A + w_L⊙L, [w_A; w_L] = σ(W₂ ReLU(W₁ GAP[A; L])) (SE-Net, arXiv 1709.01507, eqs. 2–4).

    Maps: 'weight_global' w_A and 'weight_local' w_L, [B, C, 1, 1].
    """

    shows = {
        name: replace(WeightedAddFusion.shows[name], along="channels") for name in ("weight_global", "weight_local")
    }

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__(channels)
        self.weights = squeeze_mlp(2 * channels, reduction)

    def mix(self, A: Tensor, L: Tensor) -> Tensor:
        squeezed = torch.cat([reduce(t, "b c h w -> b c 1 1", "mean") for t in (A, L)], dim=1)
        w_A, w_L = self.weights(squeezed).sigmoid().chunk(2, dim=1)
        self.keep(weight_global=w_A, weight_local=w_L)
        return w_A * A + w_L * L


class SpatialAttentionFusion(ProjectedFusion):
    """m⊙A + (1−m)⊙L, m = σ(conv₇ₓ₇ [mean_c A; mean_c L]) (after CBAM, arXiv 1807.06521, eq. 3).

    A comes out of a LayerNorm, so mean_c A is 0 until the norm's affine map has moved: at first the mask sees only L.
    Map: 'gate' m [B, 1, H, W], 1 where only A counts.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.mask = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def mix(self, A: Tensor, L: Tensor) -> Tensor:
        means = torch.cat([reduce(t, "b c h w -> b 1 h w", "mean") for t in (A, L)], dim=1)
        mask = self.mask(means).sigmoid()
        self.keep(gate=mask)
        return torch.lerp(L, A, mask)


class CrossAttentionFusion(BaseFusion):
    """W_o MHA(q = W_q A, k = W_k L, v = W_v L): what is global is the query, what is local the key (arXiv 1706.03762).

    The inner width is `channels`, or `num_heads * dim_head` where `dim_head` is given.

    Map: 'attention' [B, h, H, W], what a query position pays to every position of L.

    Raises:
        WorkbookValueError: `num_heads` does not divide the width.
    """

    shows = {"attention": MapInfo(Kind.ATTENTION, along="heads")}

    def __init__(self, channels: int, num_heads: int = 8, dim_head: int | None = None) -> None:
        super().__init__(channels)
        width = channels if dim_head is None else num_heads * dim_head
        self.num_heads = dividing(num_heads, width)
        self.to_q, self.to_k, self.to_v = (Pointwise(channels, width) for _ in range(3))
        self.to_out = Pointwise(width, channels)

    @classmethod
    def build(cls, channels: int, num_heads: int, dim_head: int | None = None) -> CrossAttentionFusion:
        return cls(channels, num_heads, dim_head)

    def forward(self, A: Tensor, L: Tensor, x_in: Tensor | None = None) -> Tensor:
        height = A.shape[2]
        q, k, v = (split_heads(t, self.num_heads) for t in (self.to_q(A), self.to_k(L), self.to_v(L)))
        heads = scaled_dot_product_attention(q, k, v)  # [B, h, N, d]
        self.keep(q=unfold(q, height), k=k)
        return self.to_out(rearrange(heads, "b h (y x) d -> b (h d) y x", y=height))

    def shown(self, query: Query = None) -> Iterator[Map]:
        yield attention_of(self, "attention", query)


FUSION_STRATEGIES: dict[str, type[BaseFusion]] = {
    "original": OriginalFusion,
    "learnable_gate": LearnableGateFusion,
    "weighted_add": WeightedAddFusion,
    "channel_attn": ChannelAttentionFusion,
    "spatial_attn": SpatialAttentionFusion,
    "cross_attn": CrossAttentionFusion,
}
