"""Which rows of a study are compared with which, and what the comparisons say.

Holm's correction is over a whole table: every row, every metric, every test set is one family, whether the table shows
all of it (the comparisons in full) or a part (accuracy on the own test set). So a comparison has one corrected p.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from lib.errors import WorkbookError
from lib.report.study.study import Answers, Missing, Row, Study
from lib.report.tables.cells import Cell
from lib.report.tables.table import Heading
from lib.statistics.estimates import Comparison, compare, compare_unpaired, holm
from lib.statistics.metric_names import TESTED_METRICS

REFERENCE = "original"
Test = Callable[..., Comparison]  # `compare` or `compare_unpaired`
DIFFERENCE: list[Heading] = [("", "difference (points)"), ("", "p (Holm)"), ("", "effect size")]


@dataclass(frozen=True)
class Pair:
    """Two rows to be compared on one test set."""

    first: Answers
    second: Answers

    @property
    def row(self) -> Row:
        """The row that the comparison speaks of: the first."""
        return self.first.row


@dataclass(frozen=True)
class Compared(Pair):
    """What a metric says about a pair, and its p after Holm's correction."""

    result: Comparison | Missing
    corrected: float | None = None

    @property
    def p(self) -> float | None:
        """Without correction; None where there is no test."""
        return None if isinstance(self.result, Missing) else self.result.p

    @property
    def cells(self) -> dict[Heading, Cell]:
        """Difference, p and effect size."""
        if isinstance(self.result, Missing):
            cells = [Cell.missing(self.result.reason)] * 3
        else:
            effect = Cell.effect(self.result.effect, self.result.effect_name)
            cells = [Cell.points(self.result), Cell.p_value(self.p, self.corrected), effect]
        return dict(zip(DIFFERENCE, cells, strict=True))


@dataclass(frozen=True)
class Family:
    """All comparisons of a table, whose p-values are corrected together."""

    parts: dict[tuple[str, str], list[Compared]]  # by test set ('' where each pair has its own) and metric

    def of(self, metric: str, dataset: str | None = None) -> list[Compared]:
        """Those of one metric, on the table's own test set unless another is named."""
        return self.parts[next(iter(self.parts))[0] if dataset is None else dataset, metric]

    @property
    def every(self) -> list[Compared]:
        """All comparisons, also those that could not be made."""
        return list(chain(*self.parts.values()))

    @property
    def made(self) -> list[Comparison]:
        """The comparisons that have a p-value, all of which are corrected together."""
        return [pair.result for pair in self.every if pair.p is not None]

    @property
    def extent(self) -> tuple[int, int, int]:
        """Rows, metrics, test sets."""
        datasets, metrics = (set(names) for names in zip(*self.parts, strict=True))
        return max(map(len, self.parts.values())), len(metrics), len(datasets)


def comparisons(study: Study, table: str) -> Family:
    """Every comparison of Table 2 to 5 (attention, fusion, residual, transfer), of the leak study or of a sweep; made once."""
    return study.once(("comparisons", table), lambda: _comparisons(study, table))


def _comparisons(study: Study, table: str) -> Family:
    if table == "transfer":
        return family({("", "accuracy"): transfer_pairs(study)}, partial(compare_unpaired, same_networks=True))
    if table == "leak":
        return family({("", metric): leak_pairs(study) for metric in TESTED_METRICS}, compare_unpaired)
    datasets = study.test_sets(study.rows(table)) or [""]
    return family({(d, m): pairs_of(study, table, d) for d in datasets for m in TESTED_METRICS}, compare)


def family(pairs: dict[tuple[str, str], Sequence[Pair]], test: Test) -> Family:
    """Compare each pair in the metric of its key; all p-values are corrected together."""
    raw = {
        key: [Compared(pair.first, pair.second, comparison(pair, key[1], test)) for pair in part]
        for key, part in pairs.items()
    }
    corrected = iter(holm([pair.p for pair in chain(*raw.values())]))
    return Family({key: [replace(pair, corrected=next(corrected)) for pair in part] for key, part in raw.items()})


def comparison(pair: Pair, metric: str, test: Test = compare) -> Comparison | Missing:
    """The first of `pair` − the second, or why there is none."""
    first, second = pair.first, pair.second
    if first.missing:
        return Missing(first.missing)
    if second.missing:
        return Missing(f"{second.row.config.name}: {second.missing}")
    try:
        return test(first.tests, second.tests, metric)
    except WorkbookError as error:
        return Missing(str(error))


def pairs_of(study: Study, table: str, dataset: str | None = None) -> list[Pair]:
    """Each row of Table 2 with its bare backbone, or of Table 3, 4 or a sweep with the reference, on the rows' own data set
    unless another is named."""
    rows = study.rows(table)
    if table == "attention":
        return [_pair(study, row, study.bare(row), dataset) for row in rows]
    reference = reference_of(rows, table)
    return [_pair(study, row, reference, dataset) for row in rows if reference is not None and row is not reference]


def reference_of(rows: Sequence[Row], table: str) -> Row | None:
    """The row with the strategy `original`; of a sweep the first one."""
    if table not in ("fusion", "residual"):
        return next(iter(rows), None)
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
    leaky = [row for config, row in rows.items() if config.split == "image"]
    pairs = [(row, rows.get(row.config.replace(split="lesion"))) for row in leaky]
    return [_pair(study, row, honest) for row, honest in pairs if honest is not None]


def _pair(study: Study, first: Row, second: Row, dataset: str | None = None) -> Pair:
    """Two rows on one test set: the first's own unless another is named."""
    dataset = dataset or first.config.dataset
    return Pair(study.answers(first, dataset), study.answers(second, dataset))
