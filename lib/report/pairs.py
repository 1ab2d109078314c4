"""Which rows of a study are compared with which, and what the comparisons say.

Holm's correction is over the pairs of one table, for one metric on one test set: each column of p-values is one family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib.errors import WorkbookError
from lib.report.cells import Cell, Effect, Missing, Points, PValue
from lib.report.statistics import Comparison, compare, compare_unpaired, holm
from lib.report.study import Answers, Row, Study
from lib.report.tables import Heading

REFERENCE = "original"
DIFFERENCE: list[Heading] = [("", "difference (points)"), ("", "p (Holm)"), ("", "effect size")]


@dataclass(frozen=True)
class Pair:
    """Two rows to be compared on one test set."""

    first: Answers
    second: Answers

    @property
    def row(self) -> Row:
        return self.first.row


@dataclass(frozen=True)
class Compared:
    """The comparisons of one metric on one test set, in the order of their pairs: themselves, corrected, as cells."""

    found: list[Comparison | Missing]
    corrected: list[float | None]
    columns: list[dict[Heading, Cell]]


def compared(pairs: Sequence[Pair], metric: str, paired: bool = True) -> Compared:
    """Compare each pair, on the same test images or (not `paired`) each on its own; p-values are corrected together."""
    found = [comparison(pair.first, pair.second, metric, paired) for pair in pairs]
    corrected = holm([each.p if isinstance(each, Comparison) else None for each in found])
    return Compared(found, corrected, [_difference_cells(*each) for each in zip(found, corrected, strict=True)])


def comparison(first: Answers, second: Answers, metric: str, paired: bool = True) -> Comparison | Missing:
    """`first` − `second`, or why there is none."""
    for each in (first, second):
        if each.missing:
            return Missing(each.missing if each is first else f"{each.row.config.name}: {each.missing}")
    try:
        return (compare if paired else compare_unpaired)(first.tests, second.tests, metric)
    except WorkbookError as error:
        return Missing(str(error))


def pairs_of(study: Study, table: str, dataset: str | None = None) -> list[Pair]:
    """What Table 2, 3 or 4 compares, on the rows' own data set unless another is named."""
    return attention_pairs(study, dataset) if table == "attention" else reference_pairs(study, table, dataset)


def attention_pairs(study: Study, dataset: str | None = None) -> list[Pair]:
    """Each row of Table 2 with its bare backbone."""
    rows = study.rows("attention")
    return [
        Pair(*(study.answers(each, dataset or row.config.dataset) for each in (row, study.bare(row)))) for row in rows
    ]


def reference_pairs(study: Study, table: str, dataset: str | None = None) -> list[Pair]:
    """Each row of Table 3 or 4 but the reference, with the reference."""
    rows = study.rows(table)
    reference = reference_of(rows, table)
    if reference is None:
        return []
    others = [row for row in rows if row is not reference]
    return [Pair(*(study.answers(each, dataset or row.config.dataset) for each in (row, reference))) for row in others]


def reference_of(rows: Sequence[Row], table: str) -> Row | None:
    """The row with the strategy `original`."""
    return next((row for row in rows if getattr(row.config, f"{table}_strategy") == REFERENCE), None)


def transfer_pairs(study: Study) -> list[Pair]:
    """Each row of Table 5 on its own test set, and on each other one."""
    rows = study.rows("transfer")
    datasets = list(dict.fromkeys([*(row.config.dataset for row in rows), *study.plan.test_also_on]))
    return [
        Pair(study.answers(row, row.config.dataset), study.answers(row, dataset))
        for row in rows
        for dataset in datasets
        if dataset != row.config.dataset
    ]


def leak_pairs(study: Study) -> list[Pair]:
    """Each row under the image-level split with the same row under the lesion-level split."""
    rows = {row.config: row for row in study.rows("leak")}
    leaky = [row for row in rows.values() if row.config.split == "image"]
    pairs = [(row, rows.get(row.config.replace(split="lesion"))) for row in leaky]
    return [Pair(*(study.answers(row, row.config.dataset) for row in pair)) for pair in pairs if pair[1] is not None]


def _difference_cells(found: Comparison | Missing, corrected: float | None) -> dict[Heading, Cell]:
    if isinstance(found, Missing):
        parts: tuple[Cell, Cell, Cell] = (found, found, found)
    else:
        parts = (Points(found), PValue(found.p, corrected), Effect(found.effect, found.effect_name))
    return dict(zip(DIFFERENCE, parts, strict=True))
