"""Figures on the strategies of a block (notebook 03): gain against cost, recall by class, gates, convergence."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.data import in_full
from lib.evaluation.learned_gates import Gate
from lib.report.figures.forest import Interval, forest, forest_height, with_intervals
from lib.report.figures.style import BLUE, BOX, GREY, ORANGE, RED, class_legend, figure, nothing
from lib.report.study.comparisons import Pair, comparison
from lib.report.study.study import Row, Study, any_phantom
from lib.training.build_model import count_macs


def metric_against_cost(study: Study, rows: Sequence[Row]) -> Figure:
    """Balanced accuracy with its interval against parameters and MACs, a point a row that has finished runs.

    Points are shifted sideways a little, for strategies of equal cost would hide each other.
    """
    levels = [(row, Interval.of(study.answers(row, row.config.dataset).estimate("balanced_accuracy"))) for row in rows]
    known = [(row, interval) for row, interval in levels if interval]
    costs = {
        "parameters (M)": [row.finished[0].provenance["parameters"] / 1e6 for row, _ in known],
        "MACs of one image (M)": [count_macs(row.config, len(row.finished[0].classes)) / 1e6 for row, _ in known],
    }
    with figure(10, 4, any_phantom(rows)) as fig:
        panels = fig.subplots(1, len(costs), sharey=True)
        for ax, (unit, values) in zip(panels, costs.items(), strict=True):
            step = 0.012 * ((max(values) - min(values)) or 1.0) if values else 0.0
            for i, ((row, interval), x) in enumerate(zip(known, values, strict=True)):
                where = x + step * (i - (len(known) - 1) / 2)
                with_intervals(ax, [where], [interval], i, row.name)
            if not known:
                nothing(ax)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.set(xlabel=unit, title=f"Test result against {unit.split(' ')[0]}")
        panels[0].set_ylabel("balanced accuracy on test (%)")
        if known:
            fig.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return fig


def recall_by_class(pairs: Sequence[Pair]) -> Figure:
    """What each strategy changes in the recall of each class against the reference, a panel a strategy; coloured where
    the interval excludes zero."""
    classes = next((list(p.first.tests[0].classes) for p in pairs if p.first.tests), [])
    with figure(10, forest_height(classes), any_phantom(p.row for p in pairs)) as fig:
        axes = fig.subplots(1, max(len(pairs), 1), sharex=True, sharey=True, squeeze=False)[0]
        for ax, pair in zip(axes, pairs, strict=False):
            recalls = [comparison(pair, f"recall_{name}") for name in classes]
            forest(ax, classes, {"": [_by_sign(Interval.of(recall)) for recall in recalls]}, reference=0)
            ax.set_title(pair.row.name, fontsize=9)
            ax.set_xlabel("points of recall")
        axes[0].set_ylabel("class")
        class_legend(fig, in_full(pairs[0].row.config.dataset if pairs else "", classes))
    return fig


def _by_sign(interval: Interval | None) -> Interval | None:
    if interval is None or np.isnan(interval.low):
        return None
    return replace(interval, colour=BLUE if interval.low > 0 else ORANGE if interval.high < 0 else GREY)


def convergence(tables: Mapping[str, Sequence[Row]]) -> Figure:
    """Validation balanced accuracy over the epochs: mean over the seeds that are still training, and their range; a
    panel a table."""
    with figure(10, 4, any_phantom(row for table in tables.values() for row in table)) as fig:
        axes = fig.subplots(1, len(tables), sharey=True, squeeze=False)[0]
        for ax, (name, table) in zip(axes, tables.items(), strict=True):
            logs = [run.log.assign(strategy=row.name) for row in table for run in row.finished]
            if logs:
                curves = pd.concat(logs).assign(percent=lambda log: 100 * log["val_balanced_accuracy"])
                look = {"hue": "strategy", "style": "strategy", "errorbar": ("pi", 100), "err_kws": {"linewidth": 0}}
                sns.lineplot(curves, x="epoch", y="percent", ax=ax, **look)
                ax.legend(fontsize=8)
            else:
                nothing(ax)
            ax.set(title=f"{name.capitalize()} strategies", xlabel="epoch", ylabel="validation balanced accuracy (%)")
            ax.xaxis.get_major_locator().set_params(integer=True)
    return fig


def gate_spread(gates: Sequence[Gate], phantom: bool) -> Figure:
    """Each learned gate: the spread of its values as a box (quartiles, whiskers 5 to 95 %), seeds' means, the start."""
    # The five percentiles of a box are its values here, so that its whiskers reach to their ends.
    values = {f"{gate.strategy}: {gate.meaning}": gate.percentiles for gate in gates}
    with figure(9, forest_height([*values], 2), phantom) as fig:
        ax = fig.subplots()
        if gates:
            sns.boxplot(values, orient="h", whis=(0, 100), ax=ax, **BOX)
        else:
            nothing(ax, "no finished run with a gate yet")
            ax.set_yticks([])
        for place, gate in enumerate(gates):
            ax.plot(gate.means, [place] * len(gate.means), "o", color=BLUE, alpha=0.8)
            ax.plot(gate.start, place, "|", color=RED, markersize=16, markeredgewidth=2)
        ax.tick_params(axis="y", labelsize=8)
        ax.set(xlim=(-0.02, 1.02), xlabel="value of the gate", ylabel="strategy and gate")
        ax.set_title("What the gates have learned")
    return fig
