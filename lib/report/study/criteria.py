"""The six success criteria of the GL-Attention readme: shown, refuted or undecided, and why.

A statement about a method is shown when the whole 95 % interval lies on the good side of its threshold, refuted when the
whole interval lies on the other side, otherwise undecided; it is undecided, too, while a run of it is missing or with one
seed. A criterion with several statements (a backbone each) is shown when all are shown, and refuted as soon as one is:
'CBAM gains more than 2 points' is refuted by one backbone on which it does not. A p-value that is not small refutes
nothing: 'p < 0.05' is refuted only where the interval excludes the gain that is claimed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # which loads `scipy.stats` when it is first used

from lib.claims.claim import ALPHA, REFUTED, SHOWN, UNDECIDED
from lib.report.study.comparisons import Compared, comparisons, reference_of
from lib.report.study.efficiency_table import Cost
from lib.report.study.paper_tables import REACHED, first_epoch
from lib.report.study.study import Missing, Row, Study
from lib.report.tables.cells import Cell, p_statement, points_text, signed
from lib.report.tables.table import Table
from lib.training.store import Run

ROUNDING = 1 / 6  # variance of the difference of two whole numbers that were rounded: epochs are no finer
GAIN = {"attention": 0.02, "fusion": 0.01}  # that criteria 1 and 2 claim, in accuracy
POINTS = "points of accuracy [95 % interval]"
OVERHEAD = "% of the step's time [lowest and highest of the timing rounds, which is no interval]; % of MACs, parameters"
TARGETS = {
    "1 Accuracy": "attention adds more than 2 points of accuracy, on every backbone",
    "2 Fusion": "the best fusion, chosen on validation, beats the original one by more than 1 point",
    "3 Residual": "progressive converges sooner than the original residual",
    "4 Transfer": "less than 5 points of accuracy are lost on another data set",
    "5 Efficiency": "a training step takes less than 20 % longer than the bare backbone's",
    "6 Significance": f"the gains of 1 and 2 have p < {ALPHA} after Holm's correction",
}


@dataclass(frozen=True)
class Statement:
    """What a criterion says of one row."""

    what: str
    result: str
    verdict: str
    why: str = ""


@dataclass(frozen=True)
class Criterion:
    """One success criterion; its verdict is that of its statements together."""

    name: str  # in TARGETS
    statements: Sequence[Statement]
    unit: str  # of what was found, and what stands in its brackets
    sure: str = "the whole interval lies on this side"  # why a verdict is shown or refuted

    @property
    def verdict(self) -> str:
        """Refuted as soon as one statement is, shown if there are any and all are, else undecided."""
        verdicts = {statement.verdict for statement in self.statements}
        if REFUTED in verdicts:
            return REFUTED
        return SHOWN if verdicts == {SHOWN} else UNDECIDED

    @property
    def result(self) -> str:
        """What was found, statement by statement; 'nothing' without any."""
        return "; ".join(f"{statement.what}: {statement.result}" for statement in self.statements) or "nothing"

    @property
    def why(self) -> str:
        """The reasons of the statements that have this verdict, each once; `sure` where they need none; which statements
        they are, where others differ; that the protocol has no such table, where there are no statements."""
        if not self.statements:
            return "the protocol has no such table"
        deciding = [statement for statement in self.statements if statement.verdict == self.verdict]
        reasons = "; ".join(dict.fromkeys(statement.why for statement in deciding if statement.why)) or self.sure
        whose = ", ".join(dict.fromkeys(statement.what for statement in deciding))
        return f"{reasons} ({whose})" if len(deciding) < len(self.statements) else reasons


def criteria(study: Study, costs: Sequence[Cost]) -> list[Criterion]:
    """All six, in the order of the readme. `costs` are those of Table 6."""
    return [
        Criterion("1 Accuracy", accuracy_improvement(study), POINTS),
        Criterion("2 Fusion", fusion_strategy(study), POINTS),
        Criterion("3 Residual", faster_convergence(study), "epochs [95 % interval]"),
        Criterion("4 Transfer", transfer_drop(study), POINTS),
        Criterion("5 Efficiency", [overhead(cost) for cost in costs], OVERHEAD, "every timing round lies on this side"),
        Criterion("6 Significance", significance(study), "p as in Tables 2 and 3", f"p < {ALPHA}"),
    ]


def criteria_table(criteria: Sequence[Criterion]) -> Table:
    """The criteria as a table."""
    headings = ("criterion", "target", "found", "unit [brackets]", "verdict", "because")
    texts = [(c.name, TARGETS[c.name], c.result, c.unit, c.verdict, c.why) for c in criteria]
    rows = [{("", head): Cell.words(text) for head, text in zip(headings, row, strict=True)} for row in texts]
    return Table("criteria", "The success criteria. What stands in brackets is told row by row.", rows)


def decide(low: float, high: float, good: Callable[[float], bool]) -> str:
    """`good` says on which side of the threshold a value lies; an interval that is not a number decides nothing."""
    sides = {good(low), good(high)}
    if not math.isfinite(low + high) or len(sides) == 2:
        return UNDECIDED
    return SHOWN if sides == {True} else REFUTED


def undecided(rows: Sequence[Row]) -> str | None:
    """Why nothing can be said yet about these rows; None where something can."""
    missing = [f"{row.full_name} has {row.done} seeds" for row in rows if not row.complete]
    if missing:
        return "runs are missing: " + ", ".join(dict.fromkeys(missing))
    return "one seed supports no claim" if any(len(row.runs) == 1 for row in rows) else None


def accuracy_improvement(study: Study) -> list[Statement]:
    """Criterion 1, a statement a backbone of Table 2."""
    pairs = comparisons(study, "attention").of("accuracy")
    return [_statement(pair, pair.row.name, lambda v: v > GAIN["attention"]) for pair in pairs]


def fusion_strategy(study: Study) -> list[Statement]:
    """Criterion 2: the best fusion by *validation*, measured on test. Chosen on test, it would look better than it is."""

    def statement(best: Compared) -> Statement:
        return _statement(best, f"{best.row.name} (best on validation)", lambda v: v > GAIN["fusion"])

    return _of_best_fusion(study, statement)


def best_on_validation(rows: Sequence[Row]) -> Row:
    """The row whose runs reach the highest validation balanced accuracy, mean over seeds; needs finished runs."""
    return max(rows, key=lambda row: np.mean([run.log["val_balanced_accuracy"].max() for run in row.finished]))


def faster_convergence(study: Study) -> list[Statement]:
    """Criterion 3: epochs that `progressive` needs less than `original`, to the level that both reach, seed by seed."""
    rows = study.rows("residual")
    original = reference_of(rows, "residual")
    progressive = next((row for row in rows if row.config.residual_strategy == "progressive"), None)
    if original is None or progressive is None:
        return []
    why = undecided([progressive, original])
    if why:
        return [Statement("progressive", "no result", UNDECIDED, why)]
    sooner = np.array([_epochs_sooner(*runs) for runs in zip(progressive.finished, original.finished, strict=True)])
    error = np.sqrt(max(sooner.var(ddof=1), ROUNDING) / len(sooner))
    low, high = scipy.stats.t.interval(0.95, len(sooner) - 1, sooner.mean(), error)
    result = f"{signed(sooner.mean())} epochs sooner [{signed(low)}, {signed(high)}]"
    return [_decided("progressive", result, decide(low, high, lambda v: v > 0))]


def transfer_drop(study: Study) -> list[Statement]:
    """Criterion 4, a statement for each pair of data sets of Table 5."""
    return [
        _statement(
            pair, f"{pair.row.config.backbone}, {pair.first.dataset} → {pair.second.dataset}", lambda v: v < 0.05
        )
        for pair in comparisons(study, "transfer").of("accuracy")
    ]


def overhead(cost: Cost) -> Statement:
    """Criterion 5 for a network of Table 6. Its brackets are the lowest and the highest round: no interval, which the few
    rounds of one process cannot give."""
    name = cost.row.name
    if cost.network is None:
        return Statement(name, "no result", UNDECIDED, cost.missing)
    middle, low, high = (100 * (ratio - 1) for ratio in cost.network.train_ratio)
    macs = cost.network.macs / cost.bare.macs
    parameters = cost.network.parameters["total"] / cost.bare.parameters["total"]
    result = (
        f"{signed(middle, 0)} % time [{signed(low, 0)}, {signed(high, 0)}], "
        f"MACs {signed(100 * (macs - 1))} %, parameters {signed(100 * (parameters - 1))} %"
    )
    return _decided(name, result, decide(low, high, lambda v: v < 20), "timing rounds lie on both sides")


def significance(study: Study) -> list[Statement]:
    """Criterion 6: p-values of Tables 2 and 3 as corrected there, in the direction that is claimed."""
    statements = [_significant(pair, GAIN["attention"]) for pair in comparisons(study, "attention").of("accuracy")]
    return statements + _of_best_fusion(study, lambda best: _significant(best, GAIN["fusion"]))


def _of_best_fusion(study: Study, statement: Callable[[Compared], Statement]) -> list[Statement]:
    """What is claimed of the best fusion and the original one, if anything can be said; nothing without a pair."""
    pairs = comparisons(study, "fusion").of("accuracy")
    if not pairs:
        return []
    why = undecided([*(pair.row for pair in pairs), pairs[0].second.row])
    if why:
        return [Statement("best fusion", "no result", UNDECIDED, why)]
    best = best_on_validation([pair.row for pair in pairs])
    return [statement(next(pair for pair in pairs if pair.row.config == best.config))]


def _statement(pair: Compared, what: str, good: Callable[[float], bool]) -> Statement:
    why, result = undecided([pair.first.row, pair.second.row]), pair.result
    if isinstance(result, Missing):
        return Statement(what, "no result", UNDECIDED, why or result.reason)
    if why:
        return Statement(what, points_text(result), UNDECIDED, why)
    return _decided(what, points_text(result), decide(result.low, result.high, good))


def _decided(what: str, result: str, verdict: str, unsure: str = "the interval includes the threshold") -> Statement:
    return Statement(what, result, verdict, unsure if verdict == UNDECIDED else "")


def _significant(pair: Compared, gain: float) -> Statement:
    """Significant, refuted since the interval excludes a gain of more than `gain`, or neither."""
    name, why, result = pair.row.name, undecided([pair.first.row, pair.second.row]), pair.result
    if why or pair.corrected is None:
        reason = result.reason if isinstance(result, Missing) else "no test could be made"
        return Statement(name, "no p", UNDECIDED, why or reason)
    p = p_statement(pair.corrected)
    if pair.corrected < ALPHA and result.difference > 0:
        return Statement(name, p, SHOWN)
    if result.high <= gain:
        return Statement(name, p, REFUTED, "the interval excludes the gain that is claimed")
    return Statement(name, p, UNDECIDED, f"p ≥ {ALPHA}, but the interval does not exclude the gain that is claimed")


def _epochs_sooner(progressive: Run, original: Run) -> int:
    """By how many epochs the first reaches REACHED of the lower of the two best values before the second does."""
    level = REACHED * min(run.log["val_balanced_accuracy"].max() for run in (progressive, original))
    return first_epoch(original, level) - first_epoch(progressive, level)
