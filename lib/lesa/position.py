"""LESA's relative position schemes: parameters, and what they give at any size of the map (arXiv 2107.05637).

A scheme is built for one size of the map and learns tables for it. At another size its tables are resampled linearly
along their two true axes, so that an offset keeps its share of the map's height or width; at the scheme's own size they
are used as they are. That is ours: the official code takes its own size only.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lib.errors import height_and_width
from lib.lesa.relative import Axial, Relative, Windows


class Position(nn.Module):
    """Embeddings for an attention of d-dimensional queries and keys, for maps of `size` (H, W)."""

    on_keys_and_values: bool  # whether keys and values have embeddings of their own, beside the queries

    def __init__(self, dim: int, size: int | tuple[int, int]) -> None:
        super().__init__()
        self.dim, self.size = dim, height_and_width(size, "map")

    @property
    def widths(self) -> dict[str, int]:
        """Width of each embedding by name: values are twice as wide as queries and keys."""
        return {"q": self.dim, "k": self.dim, "v": 2 * self.dim} if self.on_keys_and_values else {"q": self.dim}

    @abstractmethod
    def forward(self, height: int, width: int, dtype: torch.dtype | None = None) -> dict[str, Relative]:
        """The embeddings by name for a map of `height`×`width`, in `dtype` (None: the parameters')."""

    def split(self, table: Tensor) -> dict[str, Tensor]:
        """[Σ widths, ...] → by name [width, ...]"""
        return dict(zip(self.widths, table.split(list(self.widths.values())), strict=True))


class FlattenedPosition(Position):
    """The official `classification` scheme: one table, indexed by the difference i − j of **flattened** positions.

    A wart, kept so that published weights mean what they meant: the step from (row 0, last column) to (row 1, first
    column) shares its vector with one step to the right. Resampled to another size, no two offsets share one.
    Parameter `table` [4d, 2N−1].
    """

    on_keys_and_values = True

    def __init__(self, dim: int, size: int | tuple[int, int]) -> None:
        super().__init__(dim, size)
        self.table = nn.Parameter(drawn(4 * dim, 2 * self.size[0] * self.size[1] - 1))

    def forward(self, height: int, width: int, dtype: torch.dtype | None = None) -> dict[str, Relative]:
        table = self.table.to(dtype=dtype).flip(1)  # by j − i
        if (height, width) == self.size:
            return {name: Windows.from_flattened(part, height, width) for name, part in self.split(table).items()}
        columns = 2 * self.size[1] - 1
        dense = table.unfold(1, columns, self.size[1])  # [4d, 2H−1, 2W−1]: W flattened steps are one row
        dense = resample(resample(dense, 1, height), 2, width)
        return {name: Windows.from_dense(part) for name, part in self.split(dense).items()}


class AxialPosition(Position):
    """r_ij = rows[:, y_j − y_i] + columns[:, x_j − x_i] for queries, keys and values: a true two-dimensional scheme,
    for new training (after Axial-DeepLab, arXiv 2003.07853, with both axes in one attention). Not the paper's.

    Parameters `rows` [4d, 2H−1], `columns` [4d, 2W−1].
    """

    on_keys_and_values = True

    def __init__(self, dim: int, size: int | tuple[int, int]) -> None:
        super().__init__(dim, size)
        width = sum(self.widths.values())
        self.rows = nn.Parameter(drawn(width, 2 * self.size[0] - 1))
        self.columns = nn.Parameter(drawn(width, 2 * self.size[1] - 1))

    def forward(self, height: int, width: int, dtype: torch.dtype | None = None) -> dict[str, Relative]:
        rows = self.split(resample(self.rows.to(dtype=dtype), 1, height))
        columns = self.split(resample(self.columns.to(dtype=dtype), 1, width))
        return {name: Axial(rows[name], columns[name]) for name in self.widths}


class DetectionPosition(AxialPosition):
    """The official `detection_qr` scheme: as `AxialPosition`, for queries only (BoTNet, arXiv 2101.11605).

    Parameters `rows` [d, 2H−1], `columns` [d, 2W−1].
    """

    on_keys_and_values = False


POSITIONS: dict[str, type[Position]] = {
    "classification": FlattenedPosition,
    "detection_qr": DetectionPosition,
    "axial": AxialPosition,
}


def drawn(width: int, offsets: int) -> Tensor:
    """A table's start [width, offsets]: normal, of standard deviation width^−½."""
    return torch.randn(width, offsets) * width**-0.5


def resample(table: Tensor, dim: int, size: int) -> Tensor:
    """A table over the offsets −(L−1)…L−1 in `dim`, linearly resampled to −(size−1)…size−1; its ends stay its ends."""
    reach = table.shape[dim] // 2
    if size == reach + 1:
        return table
    step = reach / max(size - 1, 1)
    wanted = torch.arange(1 - size, size, device=table.device, dtype=table.dtype) * step
    known = torch.arange(-reach, reach + 1, device=table.device, dtype=table.dtype)
    weights = (1 - (wanted[:, None] - known).abs()).clamp(min=0)  # [wanted, known], each row sums to 1
    return (table.movedim(dim, -1) @ weights.T).movedim(-1, dim)
