"""Methods of one seed or several beside a reference: each seed, means with intervals, and differences."""

from matplotlib.figure import Figure

from lib.report.figures.forest import Interval, forest, forest_height
from lib.report.figures.style import GREY, figure, legend_above
from lib.report.tables.method_table import Methods
from lib.statistics.estimates import compare, estimate
from lib.statistics.metric_names import METRICS, TESTED_METRICS


def by_seed(methods: Methods) -> Figure:
    """Left: each seed's accuracy, with the method's mean and interval. Right: differences to the first method."""
    phantom = any(run.provenance["is_phantom"] for runs in methods.values() for run in runs)
    reference, *others = methods
    means = {name: Interval.of(estimate(runs, "accuracy")) for name, runs in methods.items()}
    differences = {
        name: [Interval.of(compare(methods[name], methods[reference], metric)) for metric in TESTED_METRICS]
        for name in others
    }
    with figure(10, max(forest_height([*methods], 2), forest_height(TESTED_METRICS, len(others))), phantom) as fig:
        left, right = fig.subplots(1, 2)
        rows = {name: [mean if name == own else None for own in methods] for name, mean in means.items()}
        for place, runs in zip(forest(left, list(methods), rows), methods.values(), strict=True):
            values = [100 * run.metrics["test"]["accuracy"] for run in runs]
            label = "one seed" if place == 0 else None
            left.plot(values, [place - 0.25] * len(values), "o", color=GREY, markersize=4, label=label)
        left.set(xlabel="test accuracy (%)", title="Seeds, means, 95 % intervals")
        left.xaxis.get_major_locator().set_params(nbins=6)
        metrics = [METRICS[metric] for metric in TESTED_METRICS]
        forest(right, metrics, {reference: [None] * len(metrics), **differences}, reference=0)
        right.set(xlabel="difference (percentage points) with 95 % interval", title=f"Minus {reference}")
        legend_above(fig, left)
    return fig
