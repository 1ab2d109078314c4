"""Relative embeddings at one size of the map, and the sums that attention and its gradient need of them.

A relative embedding gives each pair of positions a vector r_ij [d] that depends on where j lies as seen from i. The
expanded [d, N, N] is never built: products with the short table come first, and what belongs to each pair is then read
off by shifting rows (`skew`), as in the Music Transformer (arXiv 1809.04281, section 3.4).

N = H·W positions, row by row. `n` is any batch of maps: images, heads, or both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from einops import einsum, rearrange, reduce
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
    out = x.new_empty(*x.shape[:-1], length + rows - 1)
    if rows == 1:
        return out.copy_(x)
    before, shifted, after = out.flatten(-2).split([rows - 1, rows * (length + rows - 2), 1], -1)
    shifted = shifted.unflatten(-1, (rows, -1))
    shifted[..., :length] = x
    for gap in (before, shifted[..., length:], after):
        gap.zero_()
    return out


class Relative(ABC):
    """r_ij of all pairs of positions of an H×W map: r [d, N, N].

    Σ a_ni·r_ij G_nij is linear in a [n, d, N], in r and in G [n, N, N]. Its three derivatives are all that attention and
    its gradient ask for: `averages`, `gradients` and `products`.
    """

    tables: tuple[Tensor, ...]  # what r is read off from, differentiable in the scheme's parameters

    def __init__(self, dense: Tensor) -> None:
        """`dense` [d, 2H−1, 2W−1] is r by (row, column) of j less that of i."""
        self.dense = dense
        self.height, self.width = (dense.shape[1] + 1) // 2, (dense.shape[2] + 1) // 2

    @abstractmethod
    def products(self, a: Tensor) -> Tensor:
        """a_i · r_ij [n, N, N], as y x k l: [n, H, W, H, W], a view that need not be contiguous."""

    @abstractmethod
    def by_offset(self, pairs: Tensor) -> tuple[Tensor, ...]:
        """G [n, N, N] by offsets, as `averages` and `gradients` take it."""

    @abstractmethod
    def averages(self, *offsets: Tensor) -> Tensor:
        """Σ_j G_ij r_ij [n, d, N]"""

    @abstractmethod
    def gradients(self, a: Tensor, *offsets: Tensor) -> tuple[Tensor, ...]:
        """Σ a_ni G_nij over all pairs that read the same vector, of each table."""

    def moments(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and mean square of q_i · r_ij over images and pairs, without the pairs: [b, g, d, N] → [g], [g].

        Σ_j (q_i·r_ij)² = q_iᵀ (Σ_j r_ij r_ijᵀ) q_i, and the inner sum is the same for all images and heads.
        """
        pairs = q.shape[0] * q.shape[3] ** 2
        dense = rearrange(self.dense, "d y x -> y x d").contiguous()
        mean = einsum(q.sum(0), self._over_keys(dense), "g d i, i d -> g") / pairs
        gram = self._over_keys(rearrange(einsum(dense, dense, "y x c, y x d -> y x c d"), "y x c d -> y x (c d)"))
        queries = rearrange(q, "b g d i -> i (b g) d").contiguous()
        squares = (queries @ rearrange(gram, "i (c d) -> i c d", c=dense.shape[2]) * queries).sum((0, 2))
        return mean, reduce(squares, "(b g) -> g", "sum", g=q.shape[1]) / pairs

    def _over_keys(self, dense: Tensor) -> Tensor:
        """[2H−1, 2W−1, c] → [N, c]: for each query the sum over the window of the table that its keys see."""
        rows, columns = (unskew(dense.new_ones(side, side)) for side in (self.height, self.width))
        by_row = rearrange(rows @ rearrange(dense, "y x c -> y (x c)"), "y (x c) -> y x c", x=dense.shape[1])
        return rearrange(columns @ by_row, "y x c -> (y x) c")


class Windows(Relative):
    """Every row of queries has its own window of the table; within a row the window moves with the query.

    `windows` [H, d, h·m]: for each row of queries, h strips of m = L + W − 1 vectors, of which a query sees L in a row.
    """

    def __init__(self, dense: Tensor, windows: Tensor, strips: int) -> None:
        super().__init__(dense)
        self.tables, self.strips = (windows,), strips

    @classmethod
    def from_flattened(cls, table: Tensor, height: int, width: int) -> Windows:
        """From a table [d, 2N−1] indexed by the difference j − i of flattened positions: one strip sees all keys."""
        positions = height * width
        windows = rearrange(table.unfold(-1, positions + width - 1, width).flip(1), "d y m -> y d m").contiguous()
        return cls(table.unfold(-1, 2 * width - 1, width), windows, strips=1)

    @classmethod
    def from_dense(cls, dense: Tensor) -> Windows:
        """From a table [d, 2H−1, 2W−1]: one strip for each row of keys."""
        height = (dense.shape[1] + 1) // 2
        windows = rearrange(dense.unfold(1, height, 1).flip(1), "d y m h -> y d (h m)").contiguous()
        return cls(dense, windows, strips=height)

    def _rows(self, a: Tensor) -> Tensor:
        return rearrange(a, "n d (y x) -> y d (n x)", y=self.height)

    def products(self, a: Tensor) -> Tensor:
        strips = self._rows(a).mT @ self.tables[0]
        strips = rearrange(strips, "y (n x) (h m) -> y n h x m", x=self.width, h=self.strips)
        products = rearrange(skew(strips), "y n h x l -> n y x h l")
        return products.reshape(*products.shape[:3], self.height, self.width)

    def by_offset(self, pairs: Tensor) -> tuple[Tensor, ...]:
        strips = unskew(rearrange(pairs, "n (y x) (h l) -> y n h x l", y=self.height, h=self.strips))
        return (rearrange(strips, "y n h x m -> y (n x) (h m)"),)

    def averages(self, *offsets: Tensor) -> Tensor:
        rows = self.tables[0] @ offsets[0].mT
        return rearrange(rows, "y d (n x) -> n d (y x)", x=self.width)

    def gradients(self, a: Tensor, *offsets: Tensor) -> tuple[Tensor, ...]:
        return (self._rows(a) @ offsets[0],)


class Axial(Relative):
    """r_ij = rows[:, y_j − y_i] + columns[:, x_j − x_i], from tables [d, 2H−1] and [d, 2W−1]."""

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        super().__init__(rows.unsqueeze(2) + columns.unsqueeze(1))
        self.tables = (rows, columns)

    def products(self, a: Tensor) -> Tensor:
        rows, columns = self.tables
        a = rearrange(a, "n d (y x) -> n d y x", y=self.height)
        by_row = skew(einsum(a, rows, "n d y x, d m -> n x y m").contiguous())
        by_column = skew(einsum(a, columns, "n d y x, d m -> n y x m").contiguous())
        return rearrange(by_row, "n x y k -> n y x k 1") + rearrange(by_column, "n y x l -> n y x 1 l")

    def by_offset(self, pairs: Tensor) -> tuple[Tensor, ...]:
        pairs = rearrange(pairs, "n (y x) (k l) -> n y x k l", y=self.height, k=self.height)
        return unskew(rearrange(pairs.sum(4), "n y x k -> n x y k")), unskew(pairs.sum(3))

    def averages(self, *offsets: Tensor) -> Tensor:
        (by_row, by_column), (rows, columns) = offsets, self.tables
        out = einsum(by_row, rows, "n x y m, d m -> n d y x") + einsum(by_column, columns, "n y x m, d m -> n d y x")
        return rearrange(out, "n d y x -> n d (y x)")

    def gradients(self, a: Tensor, *offsets: Tensor) -> tuple[Tensor, ...]:
        a = rearrange(a, "n d (y x) -> n d y x", y=self.height)
        by_row, by_column = offsets
        return einsum(a, by_row, "n d y x, n x y m -> d m"), einsum(a, by_column, "n d y x, n y x m -> d m")
