"""Attention rollout (Abnar & Zuidema, arXiv 2005.00928) as DCAL uses it (arXiv 2205.02151, eq. 3 and 4).

S̄_l = ½ S_l + ½ I with S_l the mean over the heads; Ŝ = S̄_L ⋯ S̄_1. One row of Ŝ needs no product of matrices: start
with v = e_token and go down, v ← ½ v S_l + ½ v. That is exact, and N² work a layer instead of N³. From queries and keys
S_l exists only a few rows at a time.

A layer is either its attention maps [B, h, T, T] or its queries and keys ([B, h, T, d], [B, h, T, d]). T counts all
tokens, the class token and its kin first. Nothing here has gradients: DCAL selects by these scores.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lib.errors import WorkbookError, WorkbookValueError, choose
from lib.glsa.attention import at_least_float32, attention

Layer = Tensor | tuple[Tensor, Tensor]

# Numbers of S_l in work at once. A CPU is fastest while they stay in its cache, a GPU with few large kernels.
AT_ONCE = {"cpu": 5 * 2**18, "cuda": 2**26}

# Rows of S_l in work begin at whole cache lines: 785 tokens multiply a third faster as 800.
LINE = 16

FEW = 4  # rows for which a copy of the keys is not worth it


# How h maps [B, h, m, T] become one [B, m, T]. The greatest and the least of several rows do not sum to one, so they are
# divided by their sum: a rollout stays a mixture of tokens.
HEAD_FUSIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda maps: maps.mean(1) if maps.shape[1] > 1 else maps[:, 0],
    "max": lambda maps: normalize(maps.amax(1), p=1, dim=-1),
    "min": lambda maps: normalize(maps.amin(1), p=1, dim=-1),
}


class AttentionRollout:
    """How much each token of the input has gone into a token of the output.

    Args:
        head_fusion: what stands for a layer: a name in `HEAD_FUSIONS`, or the number of a single head.

    Raises:
        WorkbookValueError: the name is unknown; later, a head or token that the layers have not, or layers that do not
            belong together.
        WorkbookError: later, no layers.
    """

    def __init__(self, head_fusion: str | int = "mean") -> None:
        self.head = head_fusion if isinstance(head_fusion, int) and not isinstance(head_fusion, bool) else None
        self.fuse = HEAD_FUSIONS["mean" if self.head is not None else choose("head_fusion", head_fusion, HEAD_FUSIONS)]

    def row(self, layers: Sequence[Layer], token: int = 0) -> Tensor:
        """[B, T]: the row of Ŝ that belongs to `token`, 0 the class token; by the vector recursion."""
        *lower, last = self._checked(layers)
        start = self._one_hot(last, token)
        return self._carried(start, lower, last, slice(token, token + 1))  # only one row of the last S counts

    def mean_row(self, layers: Sequence[Layer], tokens: slice) -> Tensor:
        """[B, T]: the mean of the rows of Ŝ that belong to `tokens`, as cheap as one of them: the recursion is linear."""
        *lower, last = self._checked(layers)
        start = torch.zeros_like(self._one_hot(last, 0))
        start[..., tokens] = 1 / start[..., tokens].shape[-1]
        return self._carried(start, lower, last, tokens)

    def _carried(self, v: Tensor, lower: Sequence[Layer], last: Layer, among: slice) -> Tensor:
        """[B, T]: v Ŝ of a row v [B, 1, T] that is 0 outside `among`."""
        v = self._down(v, last, among)
        for layer in reversed(lower):
            v = self._down(v, layer)
        return v[:, 0]

    def rows(self, layers: Sequence[Layer], *tokens: int) -> Tensor:
        """[B, L, M, T]: the rows of M `tokens` in S̄_l ⋯ S̄_1 for l = 1 … L, all carried down together in one pass."""
        layers = self._checked(layers)
        start = self._one_hot(layers[0], *tokens)
        v = start[:, :0]
        for layer in reversed(layers):
            v = self._down(torch.cat([start, v], 1), layer)
        return v.unflatten(1, (len(layers), len(tokens)))

    def matrix(self, layers: Sequence[Layer]) -> Tensor:
        """[B, T, T]: all of Ŝ, N³ work a layer. Row i tells what token i of the output is made of."""
        layers = self._checked(layers)
        like = layers[0] if isinstance(layers[0], Tensor) else layers[0][1]
        v = self._one_hot(layers[0], *range(like.shape[2]))
        for layer in reversed(layers):
            v = self._down(v, layer)
        return v

    def attention(self, layer: Layer) -> Tensor:
        """[B, T, T]: S_l of one layer, its heads fused."""
        (layer,) = self._checked([layer])
        like = layer if isinstance(layer, Tensor) else layer[1]
        batch, _, tokens, _ = like.shape
        fused = like.new_empty(batch, tokens, tokens, dtype=at_least_float32(like.dtype))
        for place, maps in _chunks([layer], slice(None)):
            fused[place] = self.fuse(maps)
        return fused

    @torch.no_grad()
    def _down(self, v: Tensor, layer: Layer, among: slice = slice(None)) -> Tensor:
        """½ v S + ½ v for rows v [B, m, T]; `among` tells where v is not zero, if that is known."""
        out = v / 2
        if (maps := _at_once(layer, among)) is not None:
            return out.baddbmm_(v[..., among], self.fuse(maps).to(v.dtype), alpha=0.5)
        # The mean is linear: with one row each head is multiplied by itself, and no mean map is made. With more rows
        # summing the maps is cheaper.
        apart = self.fuse is HEAD_FUSIONS["mean"] and v.shape[1] == 1
        parts = _heads(layer) if apart else [layer]
        for (images, queries), maps in _chunks(parts, among):
            some, fused = v[images, :, queries], self.fuse(maps).to(v.dtype)
            out[images].baddbmm_(some, fused, alpha=0.5 / len(parts))  # in place, where autocast does not reach
        return out

    def _one_hot(self, layer: Layer, *tokens: int) -> Tensor:
        """e_token of each of M tokens, [B, M, T]"""
        like = layer if isinstance(layer, Tensor) else layer[1]
        batch, number = like.shape[0], like.shape[2]
        absent = [token for token in tokens if not 0 <= token < number]
        if absent:
            raise WorkbookValueError(f"There is no token {absent[0]}: the layers have tokens 0 to {number - 1}.")
        v = torch.zeros(batch, len(tokens), number, dtype=at_least_float32(like.dtype), device=like.device)
        v[:, range(len(tokens)), tokens] = 1
        return v

    def _checked(self, layers: Sequence[Layer]) -> list[Layer]:
        if len(layers) == 0:
            raise WorkbookError("There is no attention to roll out: give the maps of at least one layer.")
        pairs = [
            (layer, layer.mT if layer.ndim == 4 else layer) if isinstance(layer, Tensor) else layer for layer in layers
        ]
        shapes = [tuple(part.shape) for pair in pairs for part in pair]
        if any(len(q.shape) != 4 or q.shape != k.shape for q, k in pairs) or len({s[:1] + s[2:3] for s in shapes}) > 1:
            raise WorkbookValueError(
                "Layers are attention maps [B, h, T, T], or pairs of queries and keys [B, h, T, d], of one batch and number of "
                f"tokens, not of shapes {', '.join(str(list(shape)) for shape in dict.fromkeys(shapes))}."
            )
        heads = min(shape[1] for shape in shapes)
        if self.head is None:
            return list(layers)
        if not 0 <= self.head < heads:
            raise WorkbookValueError(f"There is no head {self.head}: the layers have heads 0 to {heads - 1}.")
        return [_heads(layer)[self.head] for layer in layers]


def first_images(layer: Layer, count: int) -> Layer:
    """The layer of the first `count` images."""
    return layer[:count] if isinstance(layer, Tensor) else tuple(part[:count] for part in layer)


def _heads(layer: Layer) -> list[Layer]:
    """The heads of a layer, each a layer of one head."""
    if isinstance(layer, Tensor):
        return list(layer.split(1, dim=1))
    return list(zip(*(part.split(1, dim=1) for part in layer), strict=True))


def _at_once(layer: Layer, among: slice) -> Tensor | None:
    """The rows `among` of a layer's maps [B, h, m, T] where its heads are fused, or the rows few; None where that is worth
    `_chunks`."""
    if isinstance(layer, Tensor):
        return layer.detach()[:, :, among] if layer.shape[1] == 1 else None
    q, k = (part.detach() for part in layer)
    few = q[:, :, among]
    with torch.autocast(q.device.type, enabled=False):
        return attention(few, k) if few.shape[2] <= FEW else None


def _chunks(layers: Sequence[Layer], among: slice) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Attention maps [b, h, m, T] of some images and queries at a time, with the places of both.

    The layers are of one shape and take turns. As many images are taken as have room with all their queries, or part of
    one image's. What is given out is overwritten by the next: the buffers stay in the cache, and no page is touched twice.
    """
    if isinstance(layers[0], Tensor):
        yield from (((slice(None), among), layer.detach()[:, :, among]) for layer in layers)
        return
    like = layers[0][0]
    batch, heads, tokens, width = like.shape
    wide = -(-tokens // LINE) * LINE
    start, stop, _ = among.indices(tokens)
    room = AT_ONCE.get(like.device.type, AT_ONCE["cuda"]) // (heads * wide)
    most = max(1, min(batch, room // (stop - start)))
    step = max(1, min(stop - start, room // most))
    exact = at_least_float32(like.dtype)
    keys = like.new_zeros(most * heads, wide, width)
    scores = like.new_empty(most * heads * step * wide)
    maps = scores if exact == like.dtype else torch.empty_like(scores, dtype=exact)  # softmax works in place
    for images in _ranges(0, batch, most):
        for layer in layers:
            q, k = (part[images].detach().reshape(-1, tokens, width) for part in layer)
            padded = keys[: len(k)]
            padded[:, :tokens] = k
            for queries in _ranges(start, stop, step):
                shape = (len(q), queries.stop - queries.start, wide)
                s, p = (buffer[: math.prod(shape)].view(shape) for buffer in (scores, maps))
                torch.baddbmm(s, q[:, queries], padded.mT, beta=0, alpha=width**-0.5, out=s)
                s[:, :, tokens:] = -torch.inf
                torch.softmax(s, -1, dtype=p.dtype, out=p)
                yield (images, queries), p[:, :, :tokens].unflatten(0, (-1, heads))


def _ranges(start: int, stop: int, step: int) -> list[slice]:
    return [slice(first, min(first + step, stop)) for first in range(start, stop, step)]
