"""Methods set beside a reference, each trained with one seed or several: a table.

Every method is a list of runs, one a seed, all tested on the same images. The reference is the first one.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence

from lib.evaluation.efficiency import Efficiency
from lib.report.tables.cells import Cell
from lib.report.tables.table import Heading, Table
from lib.statistics.estimates import Comparison, compare, estimate, holm
from lib.training.store import Run

Methods = Mapping[str, Sequence[Run]]
NOTES = (
    "Test metrics in %: mean ± standard deviation over seeds, below it the 95 % interval over seeds and test images.",
    "p: corrected by Holm over the rows of the table; below it without correction.",
)
COSTS = (
    "MACs: multiply-accumulates of one image's forward. Training step: its time divided by the bare backbone's, measured "
    "in turns in one process; median, lowest and highest."
)
ONE_SEED = "With one seed no claim about a method can be made: intervals cover the test images only, and there is no p."


def methods_table(name: str, caption: str, methods: Methods, costs: Mapping[str, Efficiency] | None = None) -> Table:
    """A row a method: its accuracy, what it is ahead of the first one by, and what it costs where `costs` tell it."""
    reference, *others = methods
    comparisons = {other: compare(methods[other], methods[reference], "accuracy") for other in others}
    differences = difference_columns(methods, comparisons, "difference (points)")
    rows = [
        {
            ("", "network"): Cell.words(method),
            ("", "seeds"): Cell.seeds(len(runs), len(runs)),
            ("", "accuracy (%)"): Cell.percent(estimate(runs, "accuracy")),
            **differences[method],
            **(_cost_cells(costs[method]) if costs else {}),
        }
        for method, runs in methods.items()
    ]
    return Table(name, caption, rows, [*NOTES, *[COSTS] * bool(costs), *note_on_one_seed(comparisons.values())])


def difference_columns(
    rows: Iterable[Hashable], comparisons: Mapping[Hashable, Comparison], name: str
) -> dict[Hashable, dict[Heading, Cell]]:
    """Each row's difference, in a column `name`, and its p, corrected over all `comparisons`; those by row."""
    corrected = holm([comparison.p for comparison in comparisons.values()])
    columns = {row: {("", name): Cell.absent(), ("", "p (Holm)"): Cell.absent()} for row in rows}
    for (row, comparison), p in zip(comparisons.items(), corrected, strict=True):
        columns[row] = {("", name): Cell.points(comparison), ("", "p (Holm)"): Cell.p_value(comparison.p, p)}
    return columns


def note_on_one_seed(comparisons: Iterable[Comparison]) -> list[str]:
    """What a comparison without p cannot say, where there is one."""
    return [ONE_SEED] * any(comparison.p is None for comparison in comparisons)


def _cost_cells(cost: Efficiency) -> dict[Heading, Cell]:
    return {
        ("", "parameters (k)"): Cell.quantity(cost.parameters["total"] / 1e3, 1),
        ("", "MACs (M)"): Cell.quantity(cost.macs / 1e6, 1),
        ("", "training step (×)"): Cell.quantity(cost.train_ratio[0], 2, *cost.train_ratio[1:]),
    }
