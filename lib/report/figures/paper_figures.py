"""Figures beside the paper's tables (notebook 09): all differences, backbones against cost, transfer, the leak study."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from lib.claims.claim import ALPHA
from lib.report.figures.forest import Interval, beside, forest, forest_figure, forest_height, with_intervals
from lib.report.figures.style import DARK, GREY, figure, legend_above, nothing
from lib.report.study.comparisons import Compared, Pair, comparisons, pairs_of, transfer_pairs
from lib.report.study.study import Answers, Study, any_phantom
from lib.statistics.metric_names import METRICS, TESTED_METRICS

CLAIMS = {"attention": "attention − bare", "fusion": "fusion − original", "residual": "residual − original"}


def differences(study: Study, tables: Sequence[str]) -> Figure:
    """Every difference in accuracy of the named tables with its interval; full where p after Holm's correction is below
    0.05."""
    parts = {CLAIMS[table]: comparisons(study, table).of("accuracy") for table in tables}
    rows = [(claim, pair, _interval(pair)) for claim, part in parts.items() for pair in part]
    return forest_figure(
        [f"{claim}: {pair.row.name}" for claim, pair, _ in rows],
        {claim: [interval if own == claim else None for own, _, interval in rows] for claim in parts},
        _phantom([pair for _, pair, _ in rows]),
        reference=0,
        title="Differences with 95 % intervals (filled: p < 0.05 after Holm)",
        xlabel="difference in accuracy (percentage points)",
        ylabel="comparison",
    )


def _interval(pair: Compared, colour: str | None = None) -> Interval | None:
    """The difference in points, full where it is significant; a note tells that it has no p."""
    look = {"filled": pair.corrected is not None and pair.corrected < ALPHA, "colour": colour}
    return Interval.of(pair.result, note="one seed" if pair.corrected is None else "", **look)


def backbones_against_cost(study: Study) -> Figure:
    """Backbones bare and with attention: balanced accuracy against parameters; a line joins the two of one backbone."""
    pairs, rows = pairs_of(study, "attention"), study.rows("backbones")
    bare = [study.answers(row, row.config.dataset) for row in rows] or [pair.second for pair in pairs]
    kinds = {"bare backbone": bare, "with attention": [pair.first for pair in pairs]}
    with figure(8, 4.2, any_phantom(answers.row for kind in kinds.values() for answers in kind)) as fig:
        ax = fig.subplots()
        for pair in pairs:
            both = _known([pair.second, pair.first])
            if len(both) == 2:
                ax.plot(*zip(*((x, i.value) for _, x, i in both), strict=True), color=GREY, linewidth=1, zorder=1)
        for number, (kind, answers) in enumerate(kinds.items()):
            known = _known(answers)
            for backbone, x, interval in known:
                beside(ax, backbone, x, interval.value, left=number == 0)
            if known:
                _, x, intervals = zip(*known, strict=True)
                with_intervals(ax, x, intervals, number, kind)
        ax.set(xlabel="parameters (M)", ylabel="balanced accuracy on test (%)")
        ax.set_title("Backbones with and without attention")
        ax.margins(x=0.12)
        _legend_or_nothing(fig)
    return fig


def _known(answers: Sequence[Answers]) -> list[tuple[str, float, Interval]]:
    """Backbone, millions of parameters and balanced accuracy of those that are not missing."""
    levels = [(of_row.row, Interval.of(of_row.estimate("balanced_accuracy"))) for of_row in answers]
    return [
        (row.config.backbone, row.finished[0].provenance["parameters"] / 1e6, interval)
        for row, interval in levels
        if interval
    ]


def transfer_lines(study: Study) -> Figure:
    """The accuracy of each network on its own test set and on each other one, with intervals."""
    pairs = transfer_pairs(study)
    with figure(8, 4.2, _phantom(pairs)) as fig:
        ax = fig.subplots()
        for i, pair in enumerate(pairs):
            ends = [Interval.of(answers.estimate("accuracy")) for answers in (pair.first, pair.second)]
            if all(ends):
                name = f"{pair.row.config.backbone}, {pair.first.dataset} → {pair.second.dataset}"
                shift = 0.04 * (i - (len(pairs) - 1) / 2)
                with_intervals(ax, [shift, 1 + shift], ends, i, name, "-")
        ax.set_xticks([0, 1], ["its own test set", "the other test set"])
        ax.set(xlim=(-0.4, 1.4), xlabel="tested on", ylabel="accuracy (%)")
        ax.set_title("Transfer between data sets")
        _legend_or_nothing(fig)
    return fig


def leak_inflation(study: Study) -> Figure:
    """The leak study: each metric under both splits, and the inflation with its interval."""
    family = comparisons(study, "leak")
    pairs = family.of("accuracy")
    rows = [(family.of(metric)[i], metric) for i in range(len(pairs)) for metric in TESTED_METRICS]
    names = [f"{pair.row.config.backbone}, {METRICS[metric]}" for pair, metric in rows]
    levels = {
        "lesion-level split": [Interval.of(pair.second.estimate(metric)) for pair, metric in rows],
        "image-level split": [Interval.of(pair.first.estimate(metric)) for pair, metric in rows],
    }
    inflation = [_interval(pair, DARK) for pair, _ in rows]
    with figure(10, forest_height(names, 2), _phantom(pairs)) as fig:
        left, right = fig.subplots(1, 2, width_ratios=(3, 2), sharey=True)
        forest(left, names, levels)
        left.set(xlabel="metric on the test part (%)", ylabel="network and metric")
        left.set_title("The same network under two splits")
        forest(right, names, {"": inflation}, reference=0)
        right.set(xlabel="inflation (percentage points)", title="image-level − lesion-level")
        legend_above(fig, left)
    return fig


def _legend_or_nothing(fig: Figure) -> None:
    (ax,) = fig.axes
    if ax.containers:
        legend_above(fig, ax, columns=2)
    else:
        nothing(ax)


def _phantom(pairs: Sequence[Pair]) -> bool:
    return any_phantom(answers.row for pair in pairs for answers in (pair.first, pair.second))
