"""Methods of one seed or several beside a reference: each seed, means with intervals, and differences."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.report.figures.style import BLUE, GREY, ORANGE, figure
from lib.report.tables.method_table import Methods
from lib.statistics.estimates import compare, estimate
from lib.statistics.metric_names import METRICS, TESTED_METRICS


def by_seed(methods: Methods) -> Figure:
    """Left: each seed's accuracy, with the method's mean and interval. Right: differences to the first method."""
    phantom = any(run.provenance["is_phantom"] for runs in methods.values() for run in runs)
    with figure(10, 3.6, phantom) as fig:
        left, right = fig.subplots(1, 2)
        _levels(left, methods)
        _differences(right, methods)
    return fig


def _levels(ax: Axes, methods: Methods) -> None:
    for i, runs in enumerate(methods.values()):
        values = [100 * run.metrics["test"]["accuracy"] for run in runs]
        spread = np.linspace(-0.1, 0.1, len(runs)) if len(runs) > 1 else np.zeros(1)
        ax.plot(i + spread, values, "o", color=GREY, label=None if i else "one seed")
        found = estimate(runs, "accuracy")
        mean, low, high = (100 * value for value in (found.mean, found.low, found.high))
        colour = ORANGE if i else BLUE
        ax.errorbar(i + 0.25, mean, yerr=[[mean - low], [high - mean]], fmt="D", color=colour, capsize=4)
    ax.set_xticks(range(len(methods)), [name.replace(" ", "\n") for name in methods])
    ax.set(xlim=(-0.5, len(methods) - 0.3), ylabel="test accuracy (%)", title="Seeds, means, 95 % intervals")
    ax.legend(fontsize=8)


def _differences(ax: Axes, methods: Methods) -> None:
    reference, *others = methods
    lines = [(name, metric) for name in others for metric in TESTED_METRICS]
    places = range(len(lines))[::-1]
    ax.axvline(0, color=GREY, linewidth=1)
    for place, (name, metric) in zip(places, lines, strict=True):
        found = compare(methods[name], methods[reference], metric)
        ax.plot([100 * found.low, 100 * found.high], [place] * 2, color=ORANGE, linewidth=2)
        ax.plot(100 * found.difference, place, "D", color=ORANGE)
    ax.set_yticks(places, [METRICS[m] if len(others) == 1 else f"{n}, {METRICS[m]}" for n, m in lines])
    ax.set(xlabel="difference (percentage points) with 95 % interval", title=f"Minus {reference}")
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    ax.margins(y=0.2)
