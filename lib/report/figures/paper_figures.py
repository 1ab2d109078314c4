"""Figures beside the paper's tables (notebook 09): all differences, backbones against cost, transfer, the leak study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.report.figures.ablation_figures import nothing
from lib.report.figures.style import BLUE, GREY, ORANGE, figure
from lib.report.study.comparisons import TESTED_METRICS, Compared, Pair, comparisons, pairs_of, transfer_pairs
from lib.report.study.study import Answers, Missing, Study, any_phantom
from lib.statistics.estimates import Estimate
from lib.statistics.metric_names import METRICS

CLAIMS = {"attention": "attention − bare", "fusion": "fusion − original", "residual": "residual − original"}
SIGNIFICANT = 0.05


def forest(study: Study, tables: Sequence[str], metric: str = "accuracy") -> Figure:
    """Every difference of the named tables with its interval; full where p after Holm's correction is below 0.05."""
    parts = {table: comparisons(study, table).of(metric) for table in tables}
    count = sum(len(part.pairs) for part in parts.values())
    with figure(8.5, 0.36 * max(count, 4) + 1.5, _phantom(part.pairs for part in parts.values())) as fig:
        ax = fig.subplots()
        ax.axvline(0, color=GREY, linewidth=1)
        names, place = [], count
        for i, (table, found) in enumerate(parts.items()):
            for j, pair in enumerate(found.pairs):
                place -= 1
                names.append(f"{CLAIMS[table]}: {pair.row.name}")
                _forest_line(ax, place, f"C{i}", found, j)
        ax.set_yticks(range(count)[::-1], names, fontsize=8)
        ax.set(xlabel=f"difference in {METRICS[metric]} (percentage points)", ylabel="comparison")
        ax.set_title("Differences with 95 % intervals (filled: p < 0.05 after Holm)")
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        ax.margins(y=0.06)
    return fig


def backbones_against_cost(study: Study, metric: str = "balanced_accuracy") -> Figure:
    """Bare backbones and backbones with attention: the metric against parameters; a line joins the two of one backbone."""
    pairs, rows = pairs_of(study, "attention"), study.rows("backbones")
    kinds = {
        "bare backbone": [study.answers(row, row.config.dataset) for row in rows] or [p.second for p in pairs],
        "with attention": [pair.first for pair in pairs],
    }
    with figure(8, 4.2, any_phantom(a.row for kind in kinds.values() for a in kind)) as fig:
        ax = fig.subplots()
        drawn = [_joined(ax, pair, metric) for pair in pairs]
        drawn += [_point(ax, kind, a, metric, i) for i, (kind, each) in enumerate(kinds.items()) for a in each]
        if not any(drawn):
            nothing(ax)
        else:
            handles, names = ax.get_legend_handles_labels()
            by_name = dict(zip(names, handles, strict=True))
            ax.legend(by_name.values(), by_name.keys())
        ax.set(
            xlabel="parameters (M)",
            ylabel=f"{METRICS[metric]} on test (%)",
            title="Backbones with and without attention",
        )
        ax.margins(x=0.12)
    return fig


def transfer_lines(study: Study, metric: str = "accuracy") -> Figure:
    """Each network on its own test set and on each other one, with intervals."""
    pairs = transfer_pairs(study)
    with figure(8, 4.2, _phantom([pairs])) as fig:
        ax = fig.subplots()
        drawn = []
        for i, pair in enumerate(pairs):
            ends = [answers.estimate(metric) for answers in (pair.first, pair.second)]
            if any(isinstance(end, Missing) for end in ends):
                continue
            name = f"{pair.row.config.backbone}, {pair.first.dataset} → {pair.second.dataset}"
            shift = 0.04 * (i - (len(pairs) - 1) / 2)
            _line(ax, [shift, 1 + shift], ends, f"C{i % 7}", name)
            drawn.append(name)
        ax.set_xticks([0, 1], ["its own test set", "the other test set"])
        ax.set(
            xlim=(-0.4, 1.4), xlabel="tested on", ylabel=f"{METRICS[metric]} (%)", title="Transfer between data sets"
        )
        if drawn:
            fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", fontsize=8)
        else:
            nothing(ax)
    return fig


def leak_inflation(study: Study) -> Figure:
    """The leak study: each metric under both splits, and the inflation with its interval."""
    family = comparisons(study, "leak")
    pairs, found = family.of("accuracy").pairs, {metric: family.of(metric) for metric in TESTED_METRICS}
    with figure(10, 1.0 * max(len(pairs), 1) + 3, _phantom([pairs])) as fig:
        left, right = fig.subplots(1, 2, width_ratios=(3, 2))
        _both_splits(left, pairs, list(found))
        _inflation(right, pairs, found)
    return fig


def _both_splits(ax: Axes, pairs: Sequence[Pair], metrics: Sequence[str]) -> None:
    lines = [(pair, metric) for pair in pairs for metric in metrics]
    places = np.arange(len(lines))[::-1]
    for place, (pair, metric) in zip(places, lines, strict=True):
        for answers, colour, shift in ((pair.second, BLUE, 0.12), (pair.first, ORANGE, -0.12)):
            e = answers.estimate(metric)
            if not isinstance(e, Missing):
                ax.plot([100 * e.low, 100 * e.high], [place + shift] * 2, color=colour, linewidth=2)
                name = f"{answers.row.config.split}-level split"
                ax.plot(100 * e.mean, place + shift, "o", color=colour, label=name if place == places[0] else None)
    ax.set_yticks(places, [f"{p.row.config.backbone}, {METRICS[m]}" for p, m in lines], fontsize=8)
    ax.set(xlabel="metric on the test part (%)", ylabel="network and metric", title="The same network under two splits")
    ax.set_ylim(-0.5, max(len(lines), 1) - 0.5)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=8)
    else:
        nothing(ax)


def _inflation(ax: Axes, pairs: Sequence[Pair], found: Mapping[str, Compared]) -> None:
    places = iter(np.arange(len(pairs) * len(found))[::-1])
    ax.axvline(0, color=GREY, linewidth=1)
    for i in range(len(pairs)):
        for part in found.values():
            _forest_line(ax, next(places), ORANGE, part, i)
    ax.set(xlabel="inflation (percentage points)", ylabel="as on the left", title="image-level − lesion-level")
    ax.set_yticks([])
    ax.set_ylim(-0.5, max(len(pairs) * len(found), 1) - 0.5)


def _forest_line(ax: Axes, place: int, colour: str, found: Compared, i: int) -> None:
    """One difference: a dot, filled where it is significant, its interval, and p; or the word missing."""
    each, corrected = found.results[i], found.corrected[i]
    if isinstance(each, Missing):
        _beside(ax, "missing", 0, place)
        return
    sure = corrected is not None and corrected < SIGNIFICANT
    ax.plot([100 * each.low, 100 * each.high], [place, place], color=colour, linewidth=2)
    ax.plot(100 * each.difference, place, "o", color=colour, markerfacecolor=colour if sure else "white")
    if each.p is None:
        _beside(ax, "one seed", 100 * each.high, place)


def _beside(ax: Axes, text: str, x: float, y: float, left: bool = False) -> None:
    """A few grey words beside a point."""
    away, anchor = ((-5, 4), "right") if left else ((5, 0), "left")
    ax.annotate(text, (x, y), xytext=away, textcoords="offset points", ha=anchor, va="center", fontsize=8, color=GREY)


def _joined(ax: Axes, pair: Pair, metric: str) -> bool:
    ends = [answers.estimate(metric) for answers in (pair.second, pair.first)]
    if any(isinstance(end, Missing) for end in ends):
        return False
    x = [_parameters(each) for each in (pair.second, pair.first)]
    ax.plot(x, [100 * end.mean for end in ends], color=GREY, linewidth=1, zorder=1)
    return True


def _point(ax: Axes, kind: str, answers: Answers, metric: str, number: int) -> bool:
    estimate = answers.estimate(metric)
    if isinstance(estimate, Missing):
        return False
    x = _parameters(answers)
    _line(ax, [x], [estimate], f"C{number}", kind)
    _beside(ax, answers.row.config.backbone, x, 100 * estimate.mean, left=number == 0)
    return True


def _line(ax: Axes, x: Sequence[float], estimates: Sequence[Estimate], colour: str, name: str) -> None:
    y = np.array([[100 * e.mean, 100 * e.low, 100 * e.high] for e in estimates]).T
    ax.errorbar(x, y[0], yerr=[y[0] - y[1], y[2] - y[0]], fmt="o-", color=colour, capsize=3, label=name)


def _parameters(answers: Answers) -> float:
    return answers.row.finished[0].provenance["parameters"] / 1e6


def _phantom(families: object) -> bool:
    return any_phantom(each.row for pairs in families for pair in pairs for each in (pair.first, pair.second))
