"""Tables 1 to 4 of the paper, from the runs of a study: backbones, attention, fusion, residual; and any sweep.

Table 2 compares each row with its bare backbone, Tables 3 and 4 with the strategy `original` (`lib.report.study.comparisons`).
"""

from collections.abc import Iterable, Sequence

from lib.report.study.comparisons import DIFFERENCE, Family, Pair, comparisons, reference_of
from lib.report.study.footnotes import LEVELS, notes_at_chance, notes_on, notes_on_dropped, notes_on_tests
from lib.report.study.row_cells import labels_of, level, levels, of_runs, seeds_of, training_minutes
from lib.report.study.study import Missing, Row, Study
from lib.report.tables.cells import Cell
from lib.report.tables.table import Heading, Table
from lib.statistics.estimates import Comparison
from lib.statistics.metric_names import METRICS, TESTED_METRICS
from lib.training.store import Run

IN_FULL = " and its comparisons in full"
OF_NETWORKS = ("", "McNemar, these networks")
REACHED = 0.95  # of its best validation balanced accuracy: there a training has converged
CONVERGENCE = (
    f"Convergence: the first epoch whose validation balanced accuracy is {100 * REACHED:.0f} % of the run's best."
)
SOURCES = {
    "original": "baseline",
    "learnable_gate": "Highway Networks",
    "weighted_add": "EfficientDet",
    "channel_attn": "SE-Net",
    "spatial_attn": "CBAM",
    "cross_attn": "Transformer",
}


def backbones_table(study: Study) -> Table:
    """Table 1: bare backbones; parameters, metrics on every test set, training time."""
    rows = study.rows("backbones")
    cells = [
        {
            **labels_of(row),
            **seeds_of(row),
            ("", "parameters (M)"): of_runs(row, lambda run: run.provenance["parameters"] / 1e6, 1),
            **levels(study, row, study.test_sets(rows)),
            ("", "training (min)"): training_minutes(row),
        }
        for row in rows
    ]
    return Table("table1_backbones", "Table 1. Backbones without attention.", cells, _notes(study, rows))


def attention_table(study: Study) -> Table:
    """Table 2: each backbone with the attention block and without it, in accuracy."""
    family = comparisons(study, "attention")
    differences = family.of("accuracy")
    cells = [
        {
            **labels_of(pair.row),
            **seeds_of(pair.row),
            ("", "without attention (%)"): level(pair.second, "accuracy"),
            ("", f"with {pair.row.config.attention} (%)"): level(pair.first, "accuracy"),
            **pair.cells,
        }
        for pair in differences
    ]
    notes = [LEVELS, *notes_on_tests(family, IN_FULL), *_notes_on_pairs(differences)]
    return Table("table2_attention", "Table 2. What the attention block adds to the accuracy.", cells, notes)


def fusion_table(study: Study) -> Table:
    """Table 3: fusion strategies; metrics on every test set, additional parameters, difference to `original`."""
    return _strategies(study, 3, "fusion")


def residual_table(study: Study) -> Table:
    """Table 4: residual strategies; as Table 3, with the epochs until convergence."""
    return _strategies(study, 4, "residual")


def comparisons_table(study: Study, table: str, name: str, caption: str) -> Table:
    """Every comparison of Table 2, 3 or 4 in full: each metric on each test set, and McNemar's p for accuracy."""
    family, datasets = comparisons(study, table), study.test_sets(study.rows(table))
    cells = []
    for i, pair in enumerate(family.of("accuracy")):
        for metric in TESTED_METRICS:
            row = {**labels_of(pair.row), ("", "metric"): Cell.words(METRICS[metric])}
            for dataset in datasets:
                compared = family.of(metric, dataset)[i]
                columns = {**compared.cells, OF_NETWORKS: _of_networks(compared.result)}
                row |= {(dataset, name): cell for (_, name), cell in columns.items()}
            cells.append(row)
    notes = notes_on_tests(family, ", of which those of accuracy stand in the table itself as well", networks=True)
    return Table(name, caption, cells, [*notes, *_notes_on_pairs(family.every)])


def _of_networks(result: Comparison | Missing) -> Cell:
    known = isinstance(result, Comparison) and result.networks
    return Cell.mcnemar(result.networks) if known else Cell.absent()


def sweep_table(study: Study, name: str) -> Table:
    """A grid under any name: its axes, metrics on its own test set, what each row is beyond the first one, best epoch,
    training time."""
    rows, family = study.rows(name), comparisons(study, name)
    cells = [
        {
            **labels_of(row),
            **seeds_of(row),
            **levels(study, row, [row.config.dataset]),
            **_beyond_the_first(family, row),
            ("", "best epoch"): of_runs(row, lambda run: run.metrics["best_epoch"]),
            ("", "training (min)"): training_minutes(row),
        }
        for row in rows
    ]
    axes = max((len(row.label) for row in rows), default=1)
    file = "".join(c if c.isalnum() else "_" for c in name)
    chance = notes_at_chance(study.answers(row, row.config.dataset) for row in rows)
    notes = [LEVELS, *notes_on_tests(family), *chance, *notes_on(rows)]
    return Table(f"sweep_{file}", f"Sweep: {name}, each row beside the first one.", cells, notes, labels=axes)


def _beyond_the_first(family: Family, row: Row) -> dict[Heading, Cell]:
    """Difference, p and effect size of a sweep's row in two metrics; nothing of the first row."""
    cells = {}
    for metric in ("accuracy", "balanced_accuracy"):
        own = (pair.cells for pair in family.of(metric) if pair.row.config == row.config)
        shown = next(own, dict.fromkeys(DIFFERENCE, Cell.absent()))
        cells |= {(METRICS[metric], column): cell for (_, column), cell in shown.items()}
    return cells


def converged_after(row: Row) -> Cell:
    """Epochs until convergence, by each run's own best."""
    return of_runs(row, lambda run: first_epoch(run, REACHED * run.log["val_balanced_accuracy"].max()), 1)


def first_epoch(run: Run, value: float) -> int:
    """The first epoch whose validation balanced accuracy is at least `value`."""
    reached = run.log["val_balanced_accuracy"] >= value
    return int(run.log["epoch"][reached.idxmax()])


def _strategies(study: Study, number: int, table: str) -> Table:
    """A row a strategy, with what is particular to Table 3 or 4."""
    rows, family = study.rows(table), comparisons(study, table)
    reference = reference_of(rows, table)
    differences = {pair.row.config: pair.cells for pair in family.of("accuracy")}
    cells = [
        {
            **labels_of(row),
            **seeds_of(row),
            **levels(study, row, study.test_sets(rows)),
            **({("", "convergence (epochs)"): converged_after(row)} if table == "residual" else {}),
            ("", "additional parameters"): _additional(row, reference),
            **differences.get(row.config, dict.fromkeys(DIFFERENCE, Cell.absent())),
            **({("", "after"): _source(row)} if table == "fusion" else {}),
        }
        for row in rows
    ]
    tests = [*notes_on_tests(family, IN_FULL), *[CONVERGENCE] * (table == "residual")]
    caption = f"Table {number}. {table.capitalize()} strategies, compared with the original one."
    return Table(f"table{number}_{table}", caption, cells, _notes(study, rows, tests))


def _additional(row: Row, reference: Row | None) -> Cell:
    """Parameters beyond those of the reference."""
    if reference is None or not (row.finished and reference.finished):
        return Cell.missing(f"{row.done} seeds done")
    parameters = [side.finished[0].provenance["parameters"] for side in (row, reference)]
    return Cell.quantity(parameters[0] - parameters[1], plus=True)


def _source(row: Row) -> Cell:
    """Where a fusion strategy comes from."""
    return Cell.words(SOURCES.get(row.config.fusion_strategy, "this workbook"))


def _notes(study: Study, rows: Sequence[Row], tests: Sequence[str] = ()) -> list[str]:
    answers = [study.answers(row, dataset) for row in rows for dataset in study.test_sets(rows)]
    return [LEVELS, *tests, *notes_on_dropped(answers), *notes_at_chance(answers), *notes_on(rows)]


def _notes_on_pairs(pairs: Iterable[Pair]) -> list[str]:
    sides = [side for pair in pairs for side in (pair.first, pair.second)]
    return [*notes_at_chance(sides), *notes_on([side.row for side in sides])]
