"""The six success criteria of the GL-Attention readme: met, not met, or not decidable, and why.

A claim about a method is met when the whole 95 % interval lies on the good side of its threshold, not met when the
whole interval lies on the other side, otherwise not decidable; it is not decidable, too, while a run of it is missing
or with one seed. A criterion with several claims (a backbone each) is met when all are met, and not met as soon as one
is not met: 'CBAM gains more than 2 points' is refuted by one backbone on which it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lib.report.cells import Cell, Text, minus, signed, told_p
from lib.report.other_tables import Cost
from lib.report.pairs import Pair, attention_pairs, compared, reference_of, reference_pairs, transfer_pairs
from lib.report.paper_tables import REACHED, first_epoch
from lib.report.statistics import Comparison
from lib.report.study import Row, Study
from lib.report.tables import Heading, Table

MET, NOT_MET, OPEN = "met", "not met", "not decidable"
ROUNDING = 1 / 6  # variance of the difference of two whole numbers that were rounded: epochs are no finer
ALPHA = 0.05


@dataclass(frozen=True)
class Claim:
    """One statement that a criterion consists of."""

    what: str
    found: str
    verdict: str
    why: str = ""


@dataclass(frozen=True)
class Criterion:
    """One success criterion; its verdict is that of its claims together."""

    name: str
    target: str
    claims: Sequence[Claim]
    none: str = "the protocol has no such table"

    @property
    def verdict(self) -> str:
        verdicts = {claim.verdict for claim in self.claims}
        if NOT_MET in verdicts:
            return NOT_MET
        return MET if verdicts == {MET} else OPEN

    @property
    def found(self) -> str:
        return "; ".join(f"{claim.what}: {claim.found}" for claim in self.claims) or "nothing"

    @property
    def why(self) -> str:
        reasons = dict.fromkeys(claim.why for claim in self.claims if claim.verdict == self.verdict and claim.why)
        return "; ".join(reasons) if self.claims else self.none


def criteria(study: Study, costs: Sequence[Cost]) -> list[Criterion]:
    """All six, in the order of the readme. `costs` are those of Table 6."""
    accuracy, fusion = accuracy_improvement(study), fusion_strategy(study)
    return [
        Criterion("1 Accuracy", "attention adds more than 2 points of accuracy, on every backbone", accuracy),
        Criterion(
            "2 Fusion", "the best fusion, chosen on validation, beats the original one by more than 1 point", fusion
        ),
        Criterion("3 Residual", "progressive converges sooner than the original residual", faster_convergence(study)),
        Criterion("4 Transfer", "less than 5 points of accuracy are lost on another data set", transfer_drop(study)),
        Criterion(
            "5 Efficiency", "a training step takes less than 20 % longer than the bare backbone's", overhead(costs)
        ),
        Criterion("6 Significance", f"claims 1 and 2 have p < {ALPHA} after Holm's correction", significance(study)),
    ]


def criteria_table(found: Sequence[Criterion]) -> Table:
    """The criteria as a table."""
    rows: list[dict[Heading, Cell]] = [
        {
            ("", "criterion"): Text(each.name),
            ("", "target"): Text(each.target),
            ("", "found"): Text(each.found),
            ("", "verdict"): Text(each.verdict),
            ("", "because"): Text(each.why or "the whole interval lies on this side"),
        }
        for each in found
    ]
    return Table("criteria", "The success criteria. Differences in percentage points with 95 % intervals.", rows)


def decide(low: float, high: float, good: Callable[[float], bool]) -> str:
    """`good` says on which side of the threshold a value lies; an interval that is not a number decides nothing."""
    sides = {good(low), good(high)}
    if not math.isfinite(low + high) or len(sides) == 2:
        return OPEN
    return MET if sides == {True} else NOT_MET


def undecided(rows: Sequence[Row]) -> str | None:
    """Why nothing can be said yet about a claim on these rows; None where something can."""
    missing = [f"{row.name} has {row.done} seeds" for row in rows if len(row.finished) < len(row.runs)]
    if missing:
        return "runs are missing: " + ", ".join(dict.fromkeys(missing))
    return "one seed supports no claim" if any(len(row.runs) == 1 for row in rows) else None


def accuracy_improvement(study: Study) -> list[Claim]:
    """Criterion 1, a claim a backbone of Table 2."""
    pairs = attention_pairs(study)
    found = compared(pairs, "accuracy").found
    return [_claim(p, p.row.name, c, lambda v: v > 0.02) for p, c in zip(pairs, found, strict=True)]


def fusion_strategy(study: Study) -> list[Claim]:
    """Criterion 2: the best fusion by *validation*, measured on test. Chosen on test, it would look better than it is."""
    chosen = _chosen_fusion(study)
    if isinstance(chosen, Claim):
        return [chosen]
    (comparison,) = compared([chosen], "accuracy").found
    return [_claim(chosen, f"{chosen.row.name} (best on validation)", comparison, lambda v: v > 0.01)]


def best_on_validation(rows: Sequence[Row]) -> Row:
    """The row whose runs reach the highest validation balanced accuracy, mean over seeds; needs finished runs."""
    return max(rows, key=lambda row: np.mean([run.log["val_balanced_accuracy"].max() for run in row.finished]))


def faster_convergence(study: Study) -> list[Claim]:
    """Criterion 3: epochs that `progressive` needs less than `original`, to the level that both reach, seed by seed."""
    rows = study.rows("residual")
    original = reference_of(rows, "residual")
    progressive = next((row for row in rows if row.config.residual_strategy == "progressive"), None)
    if original is None or progressive is None:
        return []
    why = undecided([progressive, original])
    if why:
        return [Claim("progressive", "no result", OPEN, why)]
    sooner = np.array([_epochs_sooner(*runs) for runs in zip(progressive.finished, original.finished, strict=True)])
    error = np.sqrt(max(sooner.var(ddof=1), ROUNDING) / len(sooner))
    half = stats.t.ppf(0.975, len(sooner) - 1) * error
    low, high = sooner.mean() - half, sooner.mean() + half
    told = f"{signed(sooner.mean())} epochs sooner [{signed(low)}, {signed(high)}]"
    return [_decided("progressive", told, decide(low, high, lambda v: v > 0))]


def transfer_drop(study: Study) -> list[Claim]:
    """Criterion 4, a claim for each pair of data sets of Table 5."""
    pairs = transfer_pairs(study)
    found = compared(pairs, "accuracy", paired=False).found
    return [
        _claim(p, f"{p.row.config.backbone}, {p.first.dataset} → {p.second.dataset}", c, lambda v: v < 0.05)
        for p, c in zip(pairs, found, strict=True)
    ]


def overhead(costs: Sequence[Cost]) -> list[Claim]:
    """Criterion 5, a claim a network of Table 6; its range is that of the rounds."""
    return [_overhead(cost) for cost in costs]


def significance(study: Study) -> list[Claim]:
    """Criterion 6: p-values of Tables 2 and 3 as corrected there, in the direction that is claimed."""
    pairs = attention_pairs(study)
    table = compared(pairs, "accuracy")
    claims = [_significant(*each) for each in zip(pairs, table.found, table.corrected, strict=True)]
    chosen = _chosen_fusion(study)
    if isinstance(chosen, Claim):
        return [*claims, chosen]
    if chosen is not None:
        pairs = reference_pairs(study, "fusion")
        table = compared(pairs, "accuracy")
        place = next(i for i, pair in enumerate(pairs) if pair.row.config == chosen.row.config)
        claims.append(_significant(chosen, table.found[place], table.corrected[place]))
    return claims


def _chosen_fusion(study: Study) -> Pair | Claim | None:
    """The best fusion and the original one; or the claim that nothing can be said."""
    pairs = reference_pairs(study, "fusion")
    if not pairs:
        return None
    why = undecided([*(pair.row for pair in pairs), pairs[0].second.row])
    if why:
        return Claim("best fusion", "no result", OPEN, why)
    best = best_on_validation([pair.row for pair in pairs])
    return next(pair for pair in pairs if pair.row.config == best.config)


def _claim(pair: Pair, what: str, found: object, good: Callable[[float], bool]) -> Claim:
    why = undecided([pair.first.row, pair.second.row])
    if not isinstance(found, Comparison):
        return Claim(what, "no result", OPEN, why or found.reason)
    told = f"{signed(100 * found.difference)} [{signed(100 * found.low)}, {signed(100 * found.high)}]"
    return Claim(what, told, OPEN, why) if why else _decided(what, told, decide(found.low, found.high, good))


def _decided(what: str, found: str, verdict: str) -> Claim:
    return Claim(what, found, verdict, "the interval includes the threshold" if verdict == OPEN else "")


def _significant(pair: Pair, found: object, corrected: float | None) -> Claim:
    why = undecided([pair.first.row, pair.second.row])
    if why or corrected is None:
        return Claim(pair.row.name, "no p", OPEN, why or getattr(found, "reason", "no test could be made"))
    told = f"p {told_p(corrected)}" if corrected < 0.001 else f"p = {told_p(corrected)}"
    if found.difference <= 0:
        return Claim(pair.row.name, told, NOT_MET, "the difference is not in favour of the claim")
    return Claim(
        pair.row.name, told, MET if corrected < ALPHA else NOT_MET, "" if corrected < ALPHA else f"p ≥ {ALPHA}"
    )


def _epochs_sooner(progressive: object, original: object) -> int:
    """By how many epochs the first reaches REACHED of the lower of the two best values before the second does."""
    level = REACHED * min(run.log["val_balanced_accuracy"].max() for run in (progressive, original))
    return first_epoch(original, level) - first_epoch(progressive, level)


def _overhead(cost: Cost) -> Claim:
    name = cost.row.name
    if cost.network is None:
        return Claim(name, "no result", OPEN, cost.missing)
    middle, low, high = (100 * (ratio - 1) for ratio in cost.network.train_ratio)
    more = [("MACs", cost.network.macs / cost.bare.macs)]
    more += [("parameters", cost.network.parameters["total"] / cost.bare.parameters["total"])]
    beside = ", ".join(f"{what} {signed(100 * (ratio - 1))} %" for what, ratio in more)
    told = f"{signed(middle, 0)} % time [{signed(low, 0)}, {signed(high, 0)}], {beside}"
    return _decided(name, minus(told), decide(low, high, lambda v: v < 20))
