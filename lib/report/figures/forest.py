"""Estimates or differences with their 95 % intervals: as forest plots, a row each, or over an axis of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lib.report.figures.style import DARK, GREY, figure, legend_above, marker, nothing
from lib.statistics.estimates import Comparison, Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval, in the unit of the axis."""

    value: float
    low: float
    high: float
    filled: bool = True  # hollow: not significant
    colour: str | None = None  # another than its group's
    note: str = ""  # words beside it

    @classmethod
    def of(cls, result: object, unit: float = 100, **look: object) -> Interval | None:
        """Of an `Estimate` or a `Comparison`, in per cent unless another `unit` is given; None of what is missing."""
        if not isinstance(result, Estimate | Comparison):
            return None
        value = result.mean if isinstance(result, Estimate) else result.difference
        return cls(unit * value, unit * result.low, unit * result.high, **look)


Groups = Mapping[str, Sequence[Interval | None]]


def _most_of_a_row(groups: Groups) -> int:
    """How many groups share a row at most."""
    return max((sum(interval is not None for interval in row) for row in zip(*groups.values(), strict=True)), default=1)


def forest(ax: Axes, names: Sequence[str], groups: Groups, reference: float | None = None) -> np.ndarray:
    """Draw rows of intervals on `ax`, the first on top, and return their places on its axis.

    Args:
        names: of the rows.
        groups: an interval a row, None where it is missing; the group's name is for the legend. Groups differ in
            colour and marker, and stand below each other in a row that they share.
        reference: where a line stands, such as no difference, or chance.
    """
    places = np.arange(len(names))[::-1]
    drawn = [name for name, intervals in groups.items() if any(intervals)]
    offsets = np.linspace(0.36, -0.36, 2 * len(drawn) + 1)[1::2] if _most_of_a_row(groups) > 1 else np.zeros(len(drawn))
    if reference is not None:
        ax.axvline(reference, color=GREY, linewidth=1, zorder=1)
    for number, (name, intervals) in enumerate(groups.items()):
        if name in drawn:
            offset = offsets[drawn.index(name)]
            known = {place + offset: interval for place, interval in zip(places, intervals, strict=True) if interval}
            _draw(ax, known, f"C{number}", marker(number), name)
    if not drawn:
        nothing(ax)
    for place, row in zip(places, zip(*groups.values(), strict=True), strict=False):
        if drawn and not any(row):
            beside(ax, "missing", reference or 0, place)
    ax.set_yticks(places, names)
    ax.set_ylim(-0.6, max(len(names), 1) - 0.4)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    return places


def _draw(ax: Axes, intervals: Mapping[float, Interval], colour: str, shape: str, name: str) -> None:
    """One group, by its places."""
    places, drawn = list(intervals), list(intervals.values())
    colours = [interval.colour or colour for interval in drawn]
    faces = [own if interval.filled else "white" for own, interval in zip(colours, drawn, strict=True)]
    ax.hlines(places, [i.low for i in drawn], [i.high for i in drawn], colours, linewidth=1.8)
    look = {"s": 34, "marker": shape, "facecolors": faces, "edgecolors": colours, "linewidths": 1.4, "zorder": 3}
    ax.scatter([interval.value for interval in drawn], places, label=name or None, **look)
    for place, interval in intervals.items():
        beside(ax, interval.note, interval.high, place)


def forest_figure(
    names: Sequence[str],
    groups: Groups,
    phantom: bool,
    reference: float | None = None,
    width: float = 8.5,
    **labels: object,
) -> Figure:
    """A figure of one `forest`, high enough for its rows, the legend above it; `labels` are the axes'."""
    with figure(width, forest_height(names, _most_of_a_row(groups)), phantom) as fig:
        ax = fig.subplots()
        forest(ax, names, groups, reference)
        ax.set(**labels)
        legend_above(fig, ax)
    return fig


def forest_height(names: Sequence[str], groups: int = 1) -> float:
    """Inches of a figure whose rows have room for their groups and names, its title and its axis."""
    lines = max((name.count("\n") + 1 for name in names), default=1)
    return max(len(names), 3) * max(0.2 + 0.16 * groups, 0.2 * lines) + 1.3


def with_intervals(
    ax: Axes, x: Sequence[float], intervals: Sequence[Interval], number: int, label: str, line: str = ""
) -> None:
    """Values over `x`, their intervals upright, joined by a `line` of this style, in the look of group `number`."""
    value, low, high = np.transpose([(interval.value, interval.low, interval.high) for interval in intervals])
    look = {"fmt": f"{marker(number)}{line}", "color": f"C{number}", "label": label, "capsize": 3}
    ax.errorbar(x, value, yerr=np.clip([value - low, high - value], 0, None), **look)


def beside(ax: Axes, words: str, x: float, y: float, left: bool = False) -> None:
    """A few words beside a point."""
    away, anchor = ((-6, 0), "right") if left else ((6, 0), "left")
    ax.annotate(words, (x, y), xytext=away, textcoords="offset points", ha=anchor, va="center", fontsize=8, color=DARK)
