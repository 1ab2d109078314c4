"""Methods set beside a reference, each trained with one seed or several: a table.

Every method is a list of runs, one a seed, all tested on the same images. The reference is the first one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lib.evaluation.efficiency import Efficiency
from lib.report.tables.cells import Absent, Cell, Percent, Points, PValue, Quantity, Seeds, Text
from lib.report.tables.table import Heading, Table
from lib.statistics.estimates import compare, estimate, holm
from lib.statistics.metric_names import METRICS
from lib.training.store import Run

Methods = Mapping[str, Sequence[Run]]
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
