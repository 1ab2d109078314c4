"""Attention rollout (Abnar & Zuidema, arXiv 2005.00928) as DCAL uses it (arXiv 2205.02151, eq. 3 and 4).

S̄_l = ½ S_l + ½ I with S_l the mean over the heads; Ŝ = S̄_L ⋯ S̄_1. One row of Ŝ needs no product of matrices: start
with v = e_token and go down, v ← ½ v S_l + ½ v. That is exact, and N² work a layer instead of N³. From queries and keys
S_l exists only a few rows at a time.

A layer is either its attention maps [B, h, T, T] or its queries and keys ([B, h, T, d], [B, h, T, d]). T counts all
tokens, the class token and its kin first. Nothing here has gradients: DCAL selects by these scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from lib.dcal.vit import at_least_float32
from lib.errors import WorkbookError, WorkbookValueError, choose

Layer = Tensor | tuple[Tensor, Tensor]

# Numbers of S_l in work at once. A CPU is fastest while they stay in its cache, a GPU with few large kernels.
AT_ONCE = {"cpu": 3 * 2**18, "cuda": 2**26}


def _normalised(rows: Tensor) -> Tensor:
    return rows / rows.sum(-1, keepdim=True)


# How h maps [B, h, m, T] become one [B, m, T]. The greatest and the least of several rows do not sum to one, so they
# are divided by their sum: a rollout stays a mixture of tokens.
HEAD_FUSIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda maps: maps.mean(1) if maps.shape[1] > 1 else maps[:, 0],
    "max": lambda maps: _normalised(maps.amax(1)),
    "min": lambda maps: _normalised(maps.amin(1)),
}


class AttentionRollout:
    """How much each token of the input has gone into a token of the output.

    Args:
        head_fusion: what stands for a layer: a name in `HEAD_FUSIONS`, or the number of a single head.

    Raises:
        WorkbookValueError: the name is unknown.
    """

    def __init__(self, head_fusion: str | int = "mean") -> None:
        self.head = head_fusion if isinstance(head_fusion, int) else None
        self.fuse = HEAD_FUSIONS["mean" if self.head is not None else choose("head_fusion", head_fusion, HEAD_FUSIONS)]

    def row(self, layers: Sequence[Layer], token: int = 0) -> Tensor:
        """[B, T]: the row of Ŝ that belongs to `token`, 0 the class token; by the vector recursion."""
        *lower, last = self._checked(layers)
        v = self._down(self._one_hot(last, token), last, slice(token, token + 1))  # only one row of the last S counts
        for layer in reversed(lower):
            v = self._down(v, layer)
        return v[:, 0]

    def rows(self, layers: Sequence[Layer], token: int = 0) -> Tensor:
        """[B, L, T]: the row of `token` in S̄_l ⋯ S̄_1 for l = 1 … L, all carried down together in one pass."""
        layers = self._checked(layers)
        start = self._one_hot(layers[0], token)
        v = start[:, :0]
        for layer in reversed(layers):
            v = self._down(torch.cat([start, v], 1), layer)
        return v

    def matrix(self, layers: Sequence[Layer]) -> Tensor:
        """[B, T, T]: all of Ŝ, N³ work a layer. Row i tells what token i of the output is made of."""
        layers = self._checked(layers)
        tokens = self._one_hot(layers[0], 0).shape[2]
        v = torch.cat([self._one_hot(layers[0], i) for i in range(tokens)], 1)
        for layer in reversed(layers):
            v = self._down(v, layer)
        return v

    def attention(self, layer: Layer) -> Tensor:
        """[B, T, T]: S_l of one layer, its heads fused."""
        (layer,) = self._checked([layer])
        return torch.cat([self.fuse(maps) for _, maps in _chunks(layer, slice(None))], 1)

    @torch.no_grad()
    def _down(self, v: Tensor, layer: Layer, among: slice = slice(None)) -> Tensor:
        """½ v S + ½ v for rows v [B, m, T]; `among` tells where v is not zero, if that is known."""
        out = v / 2
        stack = self.fuse is HEAD_FUSIONS["mean"] and v.shape[1] == 1  # with more rows summing the maps is cheaper
        for at, maps in _chunks(layer, among):
            some, fused = _stacked(v[:, :, at], maps) if stack else (v[:, :, at], self.fuse(maps))
            out.baddbmm_(some, fused.to(v.dtype), alpha=0.5)  # in place, where autocast does not reach: full precision
        return out

    def _one_hot(self, layer: Layer, token: int) -> Tensor:
        """e_token, [B, 1, T]"""
        like = layer if isinstance(layer, Tensor) else layer[1]
        batch, tokens = like.shape[0], like.shape[2]
        v = torch.zeros(batch, 1, tokens, dtype=at_least_float32(like.dtype), device=like.device)
        v[:, :, token] = 1
        return v

    def _checked(self, layers: Sequence[Layer]) -> list[Layer]:
        if not layers:
            raise WorkbookError("There is no attention to roll out: give the maps of at least one layer.")
        heads = (layers[0] if isinstance(layers[0], Tensor) else layers[0][0]).shape[1]
        if self.head is None:
            return list(layers)
        if not 0 <= self.head < heads:
            raise WorkbookValueError(f"There is no head {self.head}: the layers have heads 0 to {heads - 1}.")
        one = slice(self.head, self.head + 1)
        return [part[:, one] if isinstance(part, Tensor) else tuple(t[:, one] for t in part) for part in layers]


def _stacked(v: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Factors [B, r, h·m] and [B, h·m, T] whose product is that of v [B, r, m] with the mean of the maps [B, h, m, T],
    which need not be summed for it: v (S₁ + … + S_h) / h = [v/h, …, v/h] [S₁; …; S_h]."""
    heads = maps.shape[1]
    return (v / heads).repeat(1, 1, heads), maps.flatten(1, 2)


@torch.no_grad()
def _chunks(layer: Layer, among: slice) -> Iterator[tuple[slice, Tensor]]:
    """Attention maps [B, h, m, T] of m queries at a time, with the queries' places.

    What is given out is overwritten by the next: the buffers stay in the cache, and no page is touched twice.
    """
    if isinstance(layer, Tensor):
        yield among, layer.detach()[:, :, among]
        return
    batch, heads, tokens, width = layer[0].shape
    q, k = (part.detach().reshape(batch * heads, tokens, width) for part in layer)
    most = max(1, AT_ONCE.get(q.device.type, AT_ONCE["cuda"]) // (batch * heads * tokens))
    start, stop, _ = among.indices(tokens)
    size = batch * heads * min(most, stop - start) * tokens
    scores = torch.empty(size, dtype=q.dtype, device=q.device)
    exact = at_least_float32(q.dtype)
    maps = scores if exact == q.dtype else torch.empty(size, dtype=exact, device=q.device)  # softmax works in place
    for first in range(start, stop, most):
        at = slice(first, min(first + most, stop))
        shape = (batch * heads, at.stop - at.start, tokens)
        s, p = (buffer[: shape[0] * shape[1] * shape[2]].view(shape) for buffer in (scores, maps))
        torch.baddbmm(s, q[:, at], k.mT, beta=0, alpha=width**-0.5, out=s)
        torch.softmax(s, -1, dtype=p.dtype, out=p)
        yield at, p.view(batch, heads, *shape[1:])
