"""Relative embeddings at one size of the map, and the three things that attention needs of them.

A relative embedding gives each pair of positions a vector r_ij [d] that depends on where j lies as seen from i. The
expanded [d, N, N] is never built: products with the short table come first, and what belongs to each pair is then read
off by shifting rows (`skew`), as in the Music Transformer (arXiv 1809.04281, section 3.4).

N = H·W positions, row by row. `n` is any batch of maps: images, heads, or both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor


def skew(x: Tensor) -> Tensor:
    """[..., M, L+M−1] → [..., M, L]: out[i, j] = x[i, j − i + M − 1]. A view where x is contiguous."""
    rows, columns = x.shape[-2:]
    if rows == 1:
        return x
    shifted = x.flatten(-2)[..., rows - 1 : rows - 1 + rows * (columns - 1)].unflatten(-1, (rows, columns - 1))
    return shifted[..., : columns - rows + 1]


def unskew(x: Tensor) -> Tensor:
    """[..., M, L] → [..., M, L+M−1], the transpose of `skew`: every number back in its place, zeros elsewhere."""
    rows, length = x.shape[-2:]
    if rows == 1:
        return x
    flat = F.pad(x, (0, rows - 2)).flatten(-2)
    return F.pad(flat, (rows - 1, 1)).unflatten(-1, (rows, length + rows - 1))


class Relative(ABC):
    """r_ij for all pairs of positions of an H×W map. `dense` [d, 2H−1, 2W−1] is r by (row, column) of j less that of i."""

    def __init__(self, dense: Tensor) -> None:
        self.dense = dense
        self.height, self.width = (dense.shape[1] + 1) // 2, (dense.shape[2] + 1) // 2

    @abstractmethod
    def products(self, q: Tensor) -> Tensor:
        """q_i · r_ij, [n, N, d] → [n, N, N]"""

    @abstractmethod
    def averages(self, weights: Tensor) -> Tensor:
        """Σ_j P_ij r_ij, [n, N, N] → [n, N, d]"""

    def moments(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and mean square of q_i · r_ij over images and pairs, without the pairs: [b, g, N, d] → [g], [g].

        Σ_j (q_i·r_ij)² = q_iᵀ (Σ_j r_ij r_ijᵀ) q_i, and the inner sum is the same for all images and heads.
        """
        pairs = q.shape[0] * q.shape[2] ** 2
        total = self._over_keys(self.dense)
        gram = self._over_keys(einsum(self.dense, self.dense, "c y x, d y x -> c d y x"))
        mean = einsum(q.sum(0), total, "g i d, d i -> g") / pairs
        square = (einsum(q, gram, "b g i c, c d i -> b g i d") * q).sum((0, 2, 3)) / pairs
        return mean, square

    def _over_keys(self, dense: Tensor) -> Tensor:
        """[..., 2H−1, 2W−1] → [..., N]: for each query the sum over the window of the table that its keys see."""
        for dim, size in ((-2, self.height), (-1, self.width)):
            ends = F.pad(dense.cumsum(dim), (1, 0) if dim == -1 else (0, 0, 1, 0))
            dense = ends.narrow(dim, size, size) - ends.narrow(dim, 0, size)
        return dense.flip(-2, -1).flatten(-2)


class Windows(Relative):
    """Every row of queries has its own window of the table; within a row the window moves with the query.

    `windows` [H, d, h·m]: for each row of queries, h strips of m = L + W − 1 vectors, of which a query sees L in a row.
    """

    def __init__(self, dense: Tensor, windows: Tensor, strips: int) -> None:
        super().__init__(dense)
        self.windows, self.strips = windows, strips

    @classmethod
    def from_flattened(cls, table: Tensor, height: int, width: int) -> Windows:
        """From a table [d, 2N−1] indexed by the difference j − i of flattened positions: one strip sees all keys."""
        positions = height * width
        windows = rearrange(table.unfold(-1, positions + width - 1, width).flip(1), "d y m -> y d m")
        return cls(table.unfold(-1, 2 * width - 1, width), windows, strips=1)

    @classmethod
    def from_dense(cls, dense: Tensor) -> Windows:
        """From a table [d, 2H−1, 2W−1]: one strip for each row of keys."""
        height = (dense.shape[1] + 1) // 2
        windows = rearrange(dense.unfold(1, height, 1).flip(1), "d y m h -> y d (h m)")
        return cls(dense, windows, strips=height)

    def products(self, q: Tensor) -> Tensor:
        rows = rearrange(q, "n (y x) d -> y (n x) d", y=self.height)
        strips = rearrange(rows @ self.windows, "y (n x) (h m) -> y n h x m", x=self.width, h=self.strips)
        return rearrange(skew(strips), "y n h x l -> n (y x) (h l)")

    def averages(self, weights: Tensor) -> Tensor:
        strips = unskew(rearrange(weights, "n (y x) (h l) -> y n h x l", y=self.height, h=self.strips))
        rows = rearrange(strips, "y n h x m -> y (n x) (h m)") @ self.windows.mT
        return rearrange(rows, "y (n x) d -> n (y x) d", x=self.width)


class Axial(Relative):
    """r_ij = rows[:, y_j − y_i] + columns[:, x_j − x_i], from tables [d, 2H−1] and [d, 2W−1]."""

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        super().__init__(rows.unsqueeze(2) + columns.unsqueeze(1))
        self.rows, self.columns = rows, columns

    def products(self, q: Tensor) -> Tensor:
        q = rearrange(q, "n (y x) d -> n y x d", y=self.height)
        by_row = skew(einsum(q, self.rows, "n y x d, d m -> n x y m"))
        by_column = skew(einsum(q, self.columns, "n y x d, d m -> n y x m"))
        both = rearrange(by_row, "n x y k -> n y x k 1") + rearrange(by_column, "n y x l -> n y x 1 l")
        return rearrange(both, "n y x k l -> n (y x) (k l)")

    def averages(self, weights: Tensor) -> Tensor:
        weights = rearrange(weights, "n (y x) (k l) -> n y x k l", y=self.height, k=self.height)
        by_row = unskew(rearrange(weights.sum(4), "n y x k -> n x y k"))
        by_column = unskew(weights.sum(3))
        out = einsum(by_row, self.rows, "n x y m, d m -> n y x d")
        out = out + einsum(by_column, self.columns, "n y x m, d m -> n y x d")
        return rearrange(out, "n y x d -> n (y x) d")
