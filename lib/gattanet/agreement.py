"""One layer's part in the agreement: its keys, its queries and its gain (GAttANet, arXiv 2104.05575).

Keys and queries are linear in the layer's output f, without bias, so neither is ever formed for a whole map:
mean_xy(Q f) = Q mean_xy(f), and (K f) · q_avg = f · (Kᵀ q_avg). It is the same number for C instead of C·d products a
position.

Known deviation: a LayerNorm on the agreement has no affine map. It would need one weight a position, so one input
size; what it would scale, α scales.
"""

import torch
from einops import einsum, rearrange, reduce
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from lib.errors import choose, positive

NORMS = ("layer",)


class Agreement(nn.Module):
    """f ⊙ (1 + α · gatta) for a layer of `channels` outputs, with keys and queries of `dim` numbers.

    Args:
        channels: C, the channels of a map or the units of a dense layer.
        dim: d, the same in every layer of a network.
        norm: "layer" normalises each image's agreement over the layer's positions or units; None leaves it as it is.
        alpha_init: where α starts; at 0 f goes through as it is.

    Raises:
        WorkbookValueError: a size is not a positive whole number, or `norm` is unknown.
    """

    def __init__(self, channels: int, dim: int, norm: str | None = None, alpha_init: float = 0.0) -> None:
        super().__init__()
        positive(channels=channels, dim=dim)
        self.norm = None if norm is None else choose("norm", norm, NORMS)
        self.key = nn.Parameter(torch.empty(channels, dim))
        self.query = nn.Parameter(torch.empty(channels, dim))
        self.alpha = nn.Parameter(torch.tensor(float(alpha_init)))
        for weight in (self.key, self.query):
            nn.init.xavier_uniform_(weight)

    def forward(self, f: Tensor, q_avg: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """The modulated f, the layer's mean query [B, d] and its agreement with `q_avg` [B, d].

        Without a global query yet, in the first pass, f goes through as it is and the agreement is None.
        """
        if q_avg is None:
            return f, self.mean_query(f), None
        gatta = self.gatta(f, q_avg)
        if self.norm is not None:
            gatta = layer_norm(gatta, gatta.shape[1:])
        return self.modulate(f, 1 + self.alpha * gatta), self.mean_query(f), gatta

    def mean_query(self, f: Tensor) -> Tensor:
        """The mean of the layer's queries, over positions or units: f [B, C, H, W] or [B, C] → [B, d]"""
        raise NotImplementedError

    def gatta(self, f: Tensor, q_avg: Tensor) -> Tensor:
        """k · q_avg, of the key of each position or unit with the global query [B, d]: [B, H, W] or [B, C]"""
        raise NotImplementedError

    def modulate(self, f: Tensor, gain: Tensor) -> Tensor:
        """f times `gain`: a number a position [B, H, W], the same for all its channels, or a number a unit [B, C]."""
        raise NotImplementedError


class MapAgreement(Agreement):
    """A convolutional layer, f [B, C, H, W]: every position has a key and a query, K f(x, y) and Q f(x, y)."""

    def mean_query(self, f: Tensor) -> Tensor:
        return reduce(f, "b c h w -> b c", "mean") @ self.query

    def gatta(self, f: Tensor, q_avg: Tensor) -> Tensor:
        return einsum(f, q_avg @ self.key.T, "b c h w, b c -> b h w")

    def modulate(self, f: Tensor, gain: Tensor) -> Tensor:
        return f * rearrange(gain, "b h w -> b 1 h w")


class UnitAgreement(Agreement):
    """A dense layer, f [B, C]: every unit c has a key and a query of its own, f(c) K(c, :) and f(c) Q(c, :)."""

    def mean_query(self, f: Tensor) -> Tensor:
        return f @ self.query / f.shape[1]

    def gatta(self, f: Tensor, q_avg: Tensor) -> Tensor:
        return f * (q_avg @ self.key.T)

    def modulate(self, f: Tensor, gain: Tensor) -> Tensor:
        return f * gain
