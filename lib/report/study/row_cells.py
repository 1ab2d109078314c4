"""Cells of a study's tables that tell one row: its label, its seeds, its metrics, and what its runs left behind."""

from collections.abc import Callable, Sequence

import numpy as np

from lib.errors import WorkbookError
from lib.report.study.study import Answers, Missing, Row, Study
from lib.report.tables.cells import Cell
from lib.report.tables.table import Heading
from lib.statistics.metric_names import METRICS
from lib.training.store import Run

LEVEL_METRICS = ("accuracy", "balanced_accuracy")


def labels_of(row: Row) -> dict[Heading, Cell]:
    """What a row is, an axis a column."""
    return {
        ("", axis.replace("_strategy", "").replace("_", " ")): Cell.words(value) for axis, value in row.label.items()
    }


def seeds_of(row: Row) -> dict[Heading, Cell]:
    """How many of a row's runs are finished, in a column of its own."""
    return {("", "seeds"): Cell.seeds(len(row.finished), len(row.runs))}


def level(answers: Answers, metric: str) -> Cell:
    """One metric with its interval, or why there is none."""
    estimate = answers.estimate(metric)
    return Cell.missing(estimate.reason) if isinstance(estimate, Missing) else Cell.percent(estimate)


def levels(study: Study, row: Row, datasets: Sequence[str]) -> dict[Heading, Cell]:
    """Accuracy and balanced accuracy on each test set."""
    return {
        (dataset, f"{METRICS[metric]} (%)"): level(study.answers(row, dataset), metric)
        for dataset in datasets
        for metric in LEVEL_METRICS
    }


def of_runs(row: Row, value: Callable[[Run], float], digits: int = 0) -> Cell:
    """The mean over the finished runs of what `value` reads from one, with its range where they differ."""
    try:
        values = [float(value(run)) for run in row.finished]
    except WorkbookError as error:
        return Cell.missing(str(error))
    if not values:
        return Cell.missing(f"{row.done} seeds done")
    ends = () if min(values) == max(values) else (min(values), max(values))
    return Cell.quantity(float(np.mean(values)), digits, *ends)


def training_minutes(row: Row) -> Cell:
    """Minutes of training, the mean over a row's finished runs with its range."""
    return of_runs(row, lambda run: run.provenance["train_seconds"] / 60, 1)
