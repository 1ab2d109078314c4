"""Methods set beside a reference, each trained with one seed or several: table, figure, and what may be said.

Every method is a list of runs, one a seed, all tested on the same images. The reference is the first one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.report.attention_measures import NAMES as LOOKS
from lib.report.cells import Absent, Cell, Percent, Points, PValue, Quantity, Seeds, Text, signed, told_p
from lib.report.comparison import METRICS
from lib.report.figures import BLUE, GREY, ORANGE, figure
from lib.report.retrieval_figures import LABELS
from lib.report.statistics import Comparison, compare, estimate, holm
from lib.report.tables import Heading, Table
from lib.training.efficiency import Efficiency
from lib.training.store import Run

Methods = Mapping[str, Sequence[Run]]
NAMES = METRICS | LABELS | LOOKS  # of what can be compared: classification, retrieval, and where attention goes
TESTED = ("accuracy", "balanced_accuracy", "macro_f1")
NOTES = (
    "Test metrics in %: mean ± standard deviation over seeds, below it the 95 % interval over seeds and test images.",
    "p: corrected by Holm over the rows of the table; below it without correction.",
)
COSTS = (
    "MACs: multiply-accumulates of one image's forward. Training step: its time divided by the bare backbone's, measured "
    "in turns in one process; median, lowest and highest."
)
ONE_SEED = "With one seed no claim about a method can be made: intervals cover the test images only, and there is no p."


def methods_table(
    name: str, caption: str, methods: Methods, costs: Mapping[str, Efficiency] | None = None, metric: str = "accuracy"
) -> Table:
    """A row a method: its metric, what it is ahead of the first one by, and what it costs where `costs` tell it."""
    reference, *others = methods
    found = {each: compare(methods[each], methods[reference], metric) for each in others}
    corrected = dict(zip(found, holm([c.p for c in found.values()]), strict=True))
    rows: list[dict[Heading, Cell]] = []
    for each, runs in methods.items():
        row: dict[Heading, Cell] = {("", "network"): Text(each), ("", "seeds"): Seeds(len(runs), len(runs))}
        row[("", f"{METRICS[metric]} (%)")] = Percent(estimate(runs, metric))
        known = each in found
        row[("", "difference (points)")] = Points(found[each]) if known else Absent()
        row[("", "p (Holm)")] = PValue(found[each].p, corrected[each]) if known else Absent()
        rows.append(row | (_cost_cells(costs[each]) if costs else {}))
    one_seed = [ONE_SEED] * any(c.p is None for c in found.values())
    return Table(name, caption, rows, [*NOTES, *[COSTS] * bool(costs), *one_seed])


def _cost_cells(cost: Efficiency) -> dict[Heading, Cell]:
    return {
        ("", "parameters (k)"): Quantity(cost.parameters["total"] / 1e3, 1),
        ("", "MACs (M)"): Quantity(cost.macs / 1e6, 1),
        ("", "training step (×)"): Quantity(cost.train_ratio[0], 2, low=cost.train_ratio[1], high=cost.train_ratio[2]),
    }


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
    lines = [(name, metric) for name in others for metric in TESTED]
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


def told(found: Comparison) -> str:
    """'+0.3 points of accuracy (95 % interval −1.2 to +1.8; p = 0.610; 3 seeds a side)'"""
    span = f"95 % interval {signed(100 * found.low)} to {signed(100 * found.high)}"
    p = "no p" if found.p is None else f"p {told_p(found.p)}" if found.p < 0.001 else f"p = {told_p(found.p)}"
    seeds = f"{found.seeds} seed{'s' * (found.seeds > 1)} a side"
    return f"{signed(100 * found.difference)} points of {NAMES[found.metric]} ({span}; {p}; {seeds})"


def verdict(found: Comparison, first: str, second: str, words: tuple[str, str] = ("ahead of", "behind")) -> str:
    """One honest sentence on two methods over their seeds; `words` tell what more and what less of the metric is."""
    if found.p is None:
        return f"One seed a side supports no claim about {first} against {second}: {told(found)}."
    if found.low > 0:
        return f"{first} is {words[0]} {second}: {told(found)}."
    if found.high < 0:
        return f"{first} is {words[1]} {second}: {told(found)}."
    return f"No difference between {first} and {second} is shown: {told(found)}, an interval that includes zero."
