"""Figures on the strategies of a block (notebook 03): gain against cost, recall by class, gates, convergence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.evaluation.efficiency import count_macs
from lib.evaluation.learned_gates import GATES, Gate
from lib.report.figures.style import BLUE, GREY, ORANGE, RED, figure
from lib.report.study.comparisons import Pair, comparison
from lib.report.study.study import Missing, Row, Study, any_phantom
from lib.statistics.estimates import Comparison
from lib.statistics.metric_names import METRICS

NOTHING = "no finished run yet"
MARKERS = "osD^vPX*"


def nothing(ax: Axes, why: str = NOTHING) -> None:
    """Say in an empty panel that there is nothing to draw."""
    ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", va="center", color=GREY, style="italic")


def metric_against_cost(study: Study, rows: Sequence[Row], metric: str = "balanced_accuracy") -> Figure:
    """A metric with its interval against parameters and MACs, a point a row that has finished runs.

    Points are shifted sideways a little, for strategies of equal cost would hide each other.
    """
    estimates = [(row, study.answers(row, row.config.dataset).estimate(metric)) for row in rows]
    known = [(row, estimate) for row, estimate in estimates if not isinstance(estimate, Missing)]
    costs = {
        "parameters (M)": [row.finished[0].provenance["parameters"] / 1e6 for row, _ in known],
        "MACs of one image (M)": [count_macs(row.config, len(row.finished[0].classes)) / 1e6 for row, _ in known],
    }
    with figure(10, 4, any_phantom(rows)) as fig:
        panels = fig.subplots(1, len(costs), sharey=True)
        for ax, (unit, values) in zip(panels, costs.items(), strict=True):
            step = 0.012 * ((max(values) - min(values)) or 1.0) if values else 0.0
            for i, ((row, found), x) in enumerate(zip(known, values, strict=True)):
                y, low, high = 100 * found.mean, 100 * found.low, 100 * found.high
                where = x + step * (i - (len(known) - 1) / 2)
                ax.errorbar(where, y, yerr=[[y - low], [high - y]], fmt=MARKERS[i % 8], capsize=3, label=row.name)
            if not known:
                nothing(ax)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.set(xlabel=unit, title=f"Test result against {unit.split(' ')[0]}")
        panels[0].set_ylabel(f"{METRICS[metric]} on test (%)")
        if known:
            fig.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return fig


def recall_by_class(pairs: Sequence[Pair]) -> Figure:
    """What each strategy changes in the recall of each class against the reference, a panel a strategy."""
    classes = next((list(p.first.tests[0].classes) for p in pairs if p.first.tests), [])
    with figure(10, 0.3 * max(len(classes), 5) + 1.6, any_phantom(p.row for p in pairs)) as fig:
        axes = fig.subplots(1, max(len(pairs), 1), sharex=True, sharey=True, squeeze=False)[0]
        for ax, pair in zip(axes, pairs, strict=False):
            found = {name: comparison(pair.first, pair.second, f"recall_{name}") for name in classes}
            _differences(ax, found)
            ax.set_title(pair.row.name, fontsize=9)
            ax.set_xlabel("points of recall")
        axes[0].set_ylabel("class")
    return fig


def convergence(tables: Mapping[str, Sequence[Row]]) -> Figure:
    """Validation balanced accuracy over the epochs: mean over seeds, and their range; a panel a table."""
    rows = [row for table in tables.values() for row in table]
    with figure(10, 4, any_phantom(rows)) as fig:
        axes = fig.subplots(1, len(tables), sharey=True, squeeze=False)[0]
        for ax, (name, table) in zip(axes, tables.items(), strict=True):
            for row in table:
                if row.finished:
                    _curve(ax, row)
            ax.set(title=f"{name.capitalize()} strategies", xlabel="epoch")
            ax.xaxis.get_major_locator().set_params(integer=True)
            if ax.lines:
                ax.legend(fontsize=8, loc="lower right")
            else:
                nothing(ax)
        axes[0].set_ylabel("validation balanced accuracy (%)")
    return fig


def gate_spread(gates: Sequence[Gate], phantom: bool) -> Figure:
    """Each learned gate: the spread of its values as a box (quartiles, whiskers 5 to 95 %), seeds' means, the start."""
    with figure(9, 0.42 * max(len(gates), 4) + 1.5, phantom) as fig:
        ax = fig.subplots()
        if not gates:
            nothing(ax, "no finished run with a gate yet")
        places = np.arange(len(gates))[::-1]
        boxes = [dict(zip(("whislo", "q1", "med", "q3", "whishi"), g.percentiles, strict=True)) for g in gates]
        if gates:
            ax.bxp(boxes, positions=places, orientation="horizontal", showfliers=False, widths=0.5)
        for place, gate in zip(places, gates, strict=True):
            ax.plot(gate.means, [place] * len(gate.means), "o", color=BLUE, alpha=0.8)
            ax.plot(gate.start, place, "|", color=RED, markersize=16, markeredgewidth=2)
        ax.set_yticks(places, [f"{g.strategy}: {GATES[g.name]}" for g in gates], fontsize=8)
        ax.set(xlim=(-0.02, 1.02), xlabel="value of the gate", ylabel="strategy and gate")
        ax.set_title("What the gates have learned")
    return fig


def _differences(ax: Axes, found: Mapping[str, Comparison | Missing]) -> None:
    """Dots with intervals in points, coloured where the interval excludes zero; a class a line."""
    places = np.arange(len(found))[::-1]
    ax.axvline(0, color=GREY, linewidth=1)
    for place, each in zip(places, found.values(), strict=True):
        if isinstance(each, Missing) or math.isnan(each.low):
            continue
        low, high = 100 * each.low, 100 * each.high
        colour = BLUE if low > 0 else ORANGE if high < 0 else GREY
        ax.plot([low, high], [place, place], color=colour, linewidth=2)
        ax.plot(100 * each.difference, place, "o", color=colour)
    ax.set_yticks(places, list(found), fontsize=8)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    if all(isinstance(each, Missing) for each in found.values()):
        nothing(ax)


def _curve(ax: Axes, row: Row) -> None:
    """The mean over the seeds that are still training, and their range."""
    logs = [run.log.set_index("epoch")["val_balanced_accuracy"] * 100 for run in row.finished]
    table = np.full((len(logs), max(log.index.max() for log in logs)), np.nan)
    for seed, log in enumerate(logs):
        table[seed, log.index - 1] = log
    epochs = np.arange(1, table.shape[1] + 1)
    (line,) = ax.plot(epochs, np.nanmean(table, axis=0), label=row.name)
    if len(logs) > 1:
        ax.fill_between(
            epochs, np.nanmin(table, axis=0), np.nanmax(table, axis=0), color=line.get_color(), alpha=0.15, linewidth=0
        )
