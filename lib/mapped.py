"""What a module shows of its last forward in eval mode: attention, gates, selections, each a tensor that knows what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from lib.errors import WorkbookError, WorkbookValueError


class Kind(StrEnum):
    """What the numbers of a map are."""

    ATTENTION = "attention"  # what a query pays to each position
    ROLLOUT = "rollout"  # how much of each position has gone into a query, through several layers
    SELECTION = "selection"  # 1 where a position was chosen, else 0
    GATE = "gate"  # from 0 to 1: how much is let through
    AGREEMENT = "agreement"  # with a query that belongs to no position
    NORM = "norm"  # the length over channels of a term
    OTHER = "other"  # kept by a module that does not say what it is
    WEIGHT = "weight"  # of a channel, a unit or a whole term: it belongs to no position
    QUERY = "query"  # a vector that positions are compared with: it belongs to no position


CLASS_TOKEN = "class token"  # the query of a map, where it is no position
ROUNDING = 2e-7  # of the values of a map: what interpolation in single precision makes of equal ones


def is_even(least: Any, greatest: Any) -> Any:
    """Whether maps from `least` to `greatest`, numbers, arrays or tensors, are the same everywhere but for rounding."""
    return greatest - least <= ROUNDING * (abs(least) + abs(greatest))


@dataclass(frozen=True)
class Every:
    """All positions as queries; with a `step`, the middle one of every so many rows and columns."""

    step: int = 1

    def of(self, side: int) -> range:
        """The rows, or columns, that are queries in a map of so many."""
        return range(min(self.step // 2, side - 1), side, self.step)


EVERY = Every()


@dataclass(frozen=True)
class At:
    """The position at these shares of the height and the width, from 0 to below 1: there is one in a map of any size."""

    y: float
    x: float

    def of(self, height: int, width: int) -> tuple[int, int]:
        """(row, column) in a map of that size."""
        return int(self.y * height), int(self.x * width)


# A position, every position, or None: the class token where a network has one, else the centre.
Query = tuple[int, int] | At | Every | None


@dataclass(frozen=True)
class MapInfo:
    """What a map is, from where, and for whom.

    A class declares its maps in `shows`, by name; `layer` and `query` are filled in when a map is made.
    """

    kind: Kind
    along: str | None = None  # what the axis behind the images counts: heads, channels, passes (from the second on)
    method: str | None = None  # the name under which lib.explain offers it as an explanation
    title: str = ""  # in views, where the name will not do
    meaning: str = ""  # of a gate or weight that is learned: what 1 stands for
    layer: str = ""
    name: str = ""
    query: Query | str = None
    queries: tuple[int, int] | None = None  # rows and columns of the positions that may be the query

    @property
    def positional(self) -> bool:
        """Whether the last two axes are rows and columns of the image."""
        return self.kind not in (Kind.WEIGHT, Kind.QUERY)


class Map(Tensor):
    """A tensor [B, …, h, w] with `info`; whatever is computed from it is a plain tensor.

    With `Every` query the axes of the queries' rows and columns come before h and w. What is no position's has any shape.
    """

    info: MapInfo
    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def of(cls, values: Tensor, info: MapInfo, **changes: Any) -> Map:
        """`values`, sharing their memory, as what `info` with `changes` says."""
        result = values.detach().as_subclass(cls)
        result.info = replace(info, **changes)
        return result

    def plane(self) -> Tensor:
        """[B, h, w]: the last pass, or the mean over heads, channels and queries."""
        if self.info.along == "passes":
            return self[:, -1]
        return self.flatten(1, -3).mean(1) if self.ndim > 3 else self.detach()

    def __deepcopy__(self, memo: dict) -> Map:
        return Map.of(self.clone(), self.info)


class Mapped(nn.Module):
    """A module whose last eval forward can be looked into.

    `forward` hands what is worth seeing to `keep`, all in one call, and `shows` says what it is. That is all for a gate:

        class Gate(Mapped):
            shows = {"gate": MapInfo(Kind.GATE, along="channels", method="my-gate")}

            def forward(self, x):
                gate = self.to_gate(x).sigmoid()
                self.keep(gate=gate)
                return gate * x

    What is kept is a plain attribute: it is in no state dict, no copy and no pickle. Keep inputs of a map rather than an
    N×N map itself, and compute the map in `shown`, when somebody wants it.
    """

    shows: ClassVar[Mapping[str, MapInfo]] = {}  # or a property, where it depends on how a network is built

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, Tensor] = {}

    def keep(self, **tensors: Tensor) -> None:
        """Hold detached references to `tensors`, which replace those of the forward before.

        A forward in training mode lets go of everything: nobody looks at a training batch, and the references would
        only hold its memory. An exported graph has no attributes to write to.
        """
        if not torch.compiler.is_exporting():
            self._kept = {} if self.training else {name: tensor.detach() for name, tensor in tensors.items()}

    @property
    def kept(self) -> dict[str, Tensor]:
        """What the last eval forward kept.

        Raises:
            WorkbookError: there was no forward in eval mode, or one in training mode came after it.
        """
        if not self._kept:
            name = type(self).__name__
            raise WorkbookError(f"{name} has no maps yet: call the model in eval mode first, model.eval()(images).")
        return self._kept

    def shown(self, query: Query = None) -> Iterator[Map]:
        """Every map, of all layers and heads, each made when it is its turn; `query` is whose attention is shown."""
        return (self.typed(name, tensor) for name, tensor in self._kept.items())

    def typed(self, name: str, values: Tensor, **changes: Any) -> Map:
        """`values` as the map that `shows` declares under `name`, or, where it does not, as their shape has it."""
        return Map.of(values, self.shows.get(name) or _guessed(values), name=name, **changes)

    def attended(self, name: str, rows: Tensor, query: Query, height: int, width: int) -> Map:
        """The attention `rows` [..., M, height · width] that `query_positions` pay, as the map `name`."""
        query = (height // 2, width // 2) if query is None else query
        return self.typed(name, on_grid(rows, height, query), query=query, queries=(height, width))

    def maps(self, query: Query = None) -> dict[str, Map]:
        """The maps by name; of an attention the mean over the heads, and the heads under `<name>_heads`."""
        maps: dict[str, Map] = {}
        for shown in self.shown(query):
            info = shown.info
            if info.along == "heads":
                maps[info.name] = Map.of(shown.mean(1), info, along=None)
                maps[f"{info.name}_heads"] = shown
            else:
                maps[info.name] = shown
        return maps

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_kept": {}}


def _guessed(values: Tensor) -> MapInfo:
    over_positions = values.ndim in (3, 4) and min(values.shape[-2:]) > 1
    return MapInfo(Kind.OTHER if over_positions else Kind.WEIGHT, along="channels" if values.ndim == 4 else None)


def shown_by(model: nn.Module, query: Query = None) -> Iterator[Map]:
    """What `model` shows, or, where it has no word in that, what its parts show: their names are then the layers'."""
    if hasattr(model, "shown"):
        yield from model.shown(query)
        return
    for name, part in model.named_children():
        for shown in shown_by(part, query):
            yield Map.of(shown, shown.info, layer=".".join(filter(None, (name, shown.info.layer))))


def declared_by(model: nn.Module) -> Iterator[tuple[Mapped, MapInfo]]:
    """Every map that a part of `model` declares, with that part; no forward is needed."""
    for part in model.modules():
        if isinstance(part, Mapped):
            for name, info in part.shows.items():
                yield part, replace(info, name=name)


def query_positions(query: Query, height: int, width: int) -> list[int]:
    """The places of `query` among the height · width positions, row by row; None is the centre.

    Raises:
        WorkbookValueError: it is not a position of the map.
    """
    if isinstance(query, Every):
        return [row * width + column for row in query.of(height) for column in query.of(width)]
    row, column = query.of(height, width) if isinstance(query, At) else query or (height // 2, width // 2)
    if not (0 <= row < height and 0 <= column < width):
        raise WorkbookValueError(
            f"The query (row {row}, column {column}) is outside the {height}×{width} map: "
            f"rows go from 0 to {height - 1}, columns from 0 to {width - 1}."
        )
    return [row * width + column]


def on_grid(rows: Tensor, height: int, query: Query = None) -> Tensor:
    """What queries pay to the positions of a map, [..., M, h·w] → [..., h, w], or [..., rows, columns, h, w] for `Every`."""
    maps = rearrange(rows, "... m (y x) -> ... m y x", y=height)
    if not isinstance(query, Every):
        return maps[..., 0, :, :]
    return rearrange(maps, "... (r c) y x -> ... r c y x", r=len(query.of(height)))


@contextmanager
def mode(net: nn.Module, training: bool) -> Iterator[None]:
    """All of `net` in training or eval mode; afterwards every module is as it was."""
    before = [(module, module.training) for module in net.modules()]
    try:
        net.train(training)
        yield
    finally:
        for module, was in before:
            module.training = was
