"""Each criterion at each verdict; and the best fusion is chosen on validation."""

import math
from dataclasses import replace

import pytest

from lib.claims import REFUTED, SHOWN, UNDECIDED
from lib.evaluation.efficiency import Efficiency
from lib.report.study.comparisons import Compared, Family, pairs_of
from lib.report.study.criteria import (
    Criterion,
    Statement,
    accuracy_improvement,
    criteria,
    criteria_table,
    decide,
    faster_convergence,
    fusion_strategy,
    overhead,
    significance,
    transfer_drop,
)
from lib.report.study.efficiency_table import Cost
from lib.statistics.estimates import Comparison

BACKBONES, FUSIONS = ("resnet18", "resnet34"), ("original", "learnable_gate", "weighted_add")
EARLY, LATE = (0.6, 0.6, 0.6, 0.6), (0.1, 0.2, 0.3, 0.6)


def cost(written, low, high):
    def measured(ratio, parameters):
        parts = {"total": parameters}
        return Efficiency(parts, parameters, 1.0, 1.0, 1.0, 1.0, ratio, ratio, ratio, 64, 32, "cpu", 1, "32")

    row = written.study().rows("efficiency")[0]
    return Cost(row, measured(((low + high) / 2, low, high), 110), measured((1.0, 1.0, 1.0), 100))


def test_a_verdict_needs_the_whole_interval():
    good = lambda v: v > 0.02  # noqa: E731
    assert decide(0.03, 0.05, good) == SHOWN
    assert decide(-0.03, 0.01, good) == REFUTED
    assert decide(0.01, 0.05, good) == UNDECIDED
    assert decide(math.nan, math.nan, good) == UNDECIDED


@pytest.mark.parametrize(("verdicts", "together"), [
    ([SHOWN, SHOWN], SHOWN), ([SHOWN, REFUTED], REFUTED), ([SHOWN, UNDECIDED], UNDECIDED), ([REFUTED, UNDECIDED], REFUTED), ([], UNDECIDED),
])  # fmt: skip
def test_claims_make_a_criterion(verdicts, together):
    assert Criterion("n", [Statement("w", "f", verdict) for verdict in verdicts], "u").verdict == together


def test_a_reason_is_told_of_those_that_it_holds_for():
    fast, slow, open_ = Statement("a", "f", SHOWN), Statement("b", "f", REFUTED), Statement("c", "f", UNDECIDED, "why")
    assert Criterion("n", [fast, slow, open_], "u", "sure").why == "sure (b)"
    assert Criterion("n", [fast, open_], "u", "sure").why == "why (c)"
    assert Criterion("n", [fast, fast], "u", "sure").why == "sure"


def test_nothing_is_decided_without_runs(written):
    found = criteria(written.study(), [])
    assert [each.verdict for each in found] == [UNDECIDED] * 6
    assert [each.why.split(":")[0] for each in found[:4]] == ["runs are missing"] * 4
    assert len(criteria_table(found).rows) == 6


def test_nothing_is_decided_with_one_seed(written):
    del written.plan.seeds[1:]
    for table, names in (("backbones", ("resnet18", "resnet34")), ("attention", ("resnet18", "resnet34"))):
        written.finish_table(table, dict.fromkeys(names, 0.6 if table == "backbones" else 0.95))
    assert {claim.why for claim in accuracy_improvement(written.study())} == {"one seed supports no claim"}


def test_nothing_is_decided_while_a_run_is_missing(written):
    written.finish_table("backbones", {"resnet18": 0.6, "resnet34": 0.6})
    written.finish_table("attention", {"resnet18": 0.95, "resnet34": 0.95})
    (written.study().rows("attention")[1].runs[2].path / "metrics.json").unlink()
    first, second = accuracy_improvement(written.study())
    assert (first.verdict, second.verdict) == (SHOWN, UNDECIDED)
    assert second.why == "runs are missing: resnet34 has 2 of 3 seeds"


def test_missing_runs_are_named_one_by_one(written):
    attention = written.plan.tables["attention"]
    one = replace(
        attention, axes={}, fixed=attention.fixed | {"backbone": "resnet18"}
    )  # a table of one row has no axis
    written.plan.tables["attention"] = one
    written.finish(written.study().rows("attention")[0].config)
    (statement,) = accuracy_improvement(written.study())
    assert statement.what == "resnet18"
    assert statement.why == "runs are missing: resnet18 has 1 of 3 seeds, resnet18 without attention has 0 of 3 seeds"


@pytest.mark.parametrize(("with_attention", "verdict"), [(0.95, SHOWN), (0.5, REFUTED), (0.72, UNDECIDED)])
def test_1_accuracy(written, with_attention, verdict):
    written.finish_table("backbones", {"resnet18": 0.7, "resnet34": 0.7})
    written.finish_table("attention", {"resnet18": with_attention, "resnet34": with_attention})
    assert {claim.verdict for claim in accuracy_improvement(written.study())} == {verdict}


@pytest.mark.parametrize(("best", "verdict"), [(0.95, SHOWN), (0.5, REFUTED), (0.71, UNDECIDED)])
def test_2_fusion(written, best, verdict):
    written.finish_table("fusion", {"original": 0.7})
    written.finish_table("fusion", {"learnable_gate": best}, curve=EARLY)
    written.finish_table("fusion", {"weighted_add": 0.7}, curve=(0.1, 0.1))
    (claim,) = fusion_strategy(written.study())
    assert claim.what == "learnable_gate (best on validation)"
    assert claim.verdict == verdict


def found_for(study, monkeypatch, found, corrected):
    """From now on every comparison finds `found`."""

    def same(study, table):
        pairs = pairs_of(study, table) if table != "transfer" else []
        return Family({("", "accuracy"): [Compared(pair.first, pair.second, found, corrected) for pair in pairs]})

    monkeypatch.setattr("lib.report.study.criteria.comparisons", same)


def test_the_thresholds_are_the_readmes(written, monkeypatch):
    """A gain of 1.2 to 1.8 points is more than 1 point and not more than 2."""
    written.finish_table("backbones", {"resnet18": 0.7, "resnet34": 0.7})
    written.finish_table("attention", {"resnet18": 0.7, "resnet34": 0.7})
    written.finish_table("fusion", dict.fromkeys(("original", "learnable_gate", "weighted_add"), 0.7))
    study = written.study()
    gain = Comparison("accuracy", 0.015, 0.012, 0.018, 0.001, 0.1, "g", "t", 3, 240)
    found_for(study, monkeypatch, gain, 0.001)
    assert {claim.verdict for claim in accuracy_improvement(study)} == {REFUTED}
    assert fusion_strategy(study)[0].verdict == SHOWN
    assert {claim.verdict for claim in significance(study)} == {SHOWN}


def test_the_best_fusion_is_chosen_on_validation_not_on_test(written):
    written.finish_table("fusion", {"original": 0.7})
    written.finish_table("fusion", {"learnable_gate": 0.99}, curve=(0.1, 0.2))  # by far the best on test
    written.finish_table("fusion", {"weighted_add": 0.6}, curve=(0.8, 0.9))
    study = written.study()
    assert fusion_strategy(study)[0].what == "weighted_add (best on validation)"
    assert fusion_strategy(study)[0].verdict == REFUTED
    assert significance(study)[-1].what == "weighted_add"


@pytest.mark.parametrize(
    ("progressive", "original", "verdict"), [(EARLY, LATE, SHOWN), (LATE, EARLY, REFUTED), (LATE, LATE, UNDECIDED)]
)
def test_3_residual(written, progressive, original, verdict):
    written.finish_table("residual", {"original": 0.7}, curve=original)
    written.finish_table("residual", {"progressive": 0.7}, curve=progressive)
    (claim,) = faster_convergence(written.study())
    assert claim.verdict == verdict


def test_convergence_is_to_the_level_that_both_reach(written):
    """A run that ends higher is not slower for it."""
    written.finish_table("residual", {"original": 0.7}, curve=(0.3, 0.4, 0.4, 0.4))
    written.finish_table("residual", {"progressive": 0.7}, curve=(0.4, 0.5, 0.6, 0.9))
    (claim,) = faster_convergence(written.study())
    assert claim.result.startswith("+1.0 epochs sooner")


@pytest.mark.parametrize(("elsewhere", "verdict"), [(0.95, SHOWN), (0.5, REFUTED), (0.86, UNDECIDED)])
def test_4_transfer(written, transferred, elsewhere, verdict):
    transferred(elsewhere)
    written.finish_table("transfer", {"phantom-lesions": 0.9, "phantom-clinic": 0.9})
    claims = transfer_drop(written.study())
    assert [claim.verdict for claim in claims] == [verdict] * 2
    assert claims[0].what == "resnet18, phantom-lesions → phantom-clinic"


@pytest.mark.parametrize(("low", "high", "verdict"), [(1.05, 1.1, SHOWN), (1.3, 1.5, REFUTED), (1.1, 1.3, UNDECIDED)])
def test_5_efficiency(written, low, high, verdict):
    claim = overhead(cost(written, low, high))
    assert claim.verdict == verdict
    assert "MACs +10.0 %, parameters +10.0 %" in claim.result


def test_5_what_could_not_be_measured_is_not_decidable(written):
    row = written.study().rows("efficiency")[0]
    claim = overhead(Cost(row, None, None, "no memory"))
    assert (claim.verdict, claim.why) == (UNDECIDED, "no memory")


@pytest.mark.parametrize(("better", "verdict"), [(0.95, SHOWN), (0.45, REFUTED), (0.71, UNDECIDED)])
def test_6_significance_is_in_the_direction_of_the_claim(written, better, verdict):
    written.finish_table("backbones", {"resnet18": 0.7, "resnet34": 0.7})
    written.finish_table("attention", {"resnet18": better, "resnet34": better})
    found = criteria(written.study(), [])[5]
    assert {claim.verdict for claim in found.statements if claim.what != "best fusion"} == {verdict}
    assert found.statements[-1].verdict == UNDECIDED  # the fusions are not trained


@pytest.mark.parametrize(("low", "high", "verdict"), [
    (-0.8, 0.8, UNDECIDED),  # nothing is known
    (-0.01, 0.05, UNDECIDED),  # the gain is within
    (-0.05, -0.01, REFUTED),
    (-0.01, 0.009, REFUTED),  # no gain of 1 point, far less of 2
])  # fmt: skip
def test_6_what_is_not_significant_is_not_refuted(written, monkeypatch, low, high, verdict):
    for table, names in (("backbones", BACKBONES), ("attention", BACKBONES), ("fusion", FUSIONS)):
        written.finish_table(table, dict.fromkeys(names, 0.7))
    study = written.study()
    found = Comparison("accuracy", (low + high) / 2, low, high, 0.3, 0.1, "g", "t", 3, 240)
    found_for(study, monkeypatch, found, 0.6)
    criterion = criteria(study, [])[5]
    assert {claim.verdict for claim in criterion.statements} == {verdict}
    assert criterion.verdict == verdict
    assert "the gain that is claimed" in criterion.why


def test_6_a_gain_of_fifteen_thousandths_is_excluded_by_two_points_only(written, monkeypatch):
    for table, names in (("backbones", BACKBONES), ("attention", BACKBONES), ("fusion", FUSIONS)):
        written.finish_table(table, dict.fromkeys(names, 0.7))
    study = written.study()
    found_for(study, monkeypatch, Comparison("accuracy", 0.0, -0.015, 0.015, 0.9, 0.1, "g", "t", 3, 240), 0.9)
    assert [claim.verdict for claim in significance(study)] == [REFUTED, REFUTED, UNDECIDED]


def test_every_row_says_what_its_brackets_are(written):
    found = criteria(written.study(), [cost(written, 1.05, 1.1)])
    cells = {row["", "criterion"].text: row for row in criteria_table(found).rows}
    told = {name: row["", "unit [brackets]"].text for name, row in cells.items()}
    assert "epochs [95 % interval]" in told["3 Residual"]
    assert "no interval" in told["5 Efficiency"]
    assert all("accuracy [95 % interval]" in told[name] for name in ("1 Accuracy", "2 Fusion", "4 Transfer"))
    assert cells["5 Efficiency"]["", "because"].text == "every timing round lies on this side"
    assert "interval" not in criteria_table(found).caption
