"""Metrics against scikit-learn, absent classes and all; one formula for points, resamples and epochs; intervals that
hold their point and cover the truth."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score, roc_auc_score

from lib.files import json_text, with_nan
from lib.training.classifier import EpochMetrics
from lib.training.metrics import Resampled, _draws, intervals, measure, with_intervals

CLASSES = ("a", "b", "c")


def answers(n=300, seed=0, skill=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=[0.7, 0.2, 0.1])
    logits = rng.normal(size=(n, 3)) + skill * np.eye(3)[labels]
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True), labels


def test_metrics_are_scikit_learns():
    p, y = answers()
    found, predicted = measure(p, y, CLASSES), p.argmax(1)
    expected = {
        "accuracy": accuracy_score(y, predicted),
        "balanced_accuracy": balanced_accuracy_score(y, predicted),
        "macro_f1": f1_score(y, predicted, average="macro"),
        "macro_auroc": roc_auc_score(y, p, multi_class="ovr", average="macro"),
    } | {f"recall_{c}": r for c, r in zip(CLASSES, recall_score(y, predicted, average=None), strict=True)}
    assert {k: found[k] for k in expected} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("present", "answered"), [((0, 1, 2), True), ((0, 3), True), ((1, 2), False)])
def test_an_absent_class_is_left_out_as_scikit_learn_leaves_it_out(present, answered):
    """Whether it is answered or not; balanced accuracy and macro AUROC are over the classes that are there."""
    rng, classes = np.random.default_rng(1), ("a", "b", "c", "d")
    y = rng.choice(present, 40)
    p = rng.dirichlet(np.ones(4), 40) * (np.isin(range(4), present) if not answered else 1)
    p /= p.sum(axis=1, keepdims=True)
    found, predicted = measure(p, y, classes), p.argmax(axis=1)
    absent = set(range(4)) - set(present)
    assert bool(absent & set(predicted)) == answered
    assert found["balanced_accuracy"] == pytest.approx(recall_score(y, predicted, labels=present, average="macro"))
    assert found["macro_f1"] == pytest.approx(f1_score(y, predicted, average="macro"))
    assert found["macro_auroc"] == pytest.approx(np.mean([roc_auc_score(y == c, p[:, c]) for c in present]))
    assert {c for c in range(4) if math.isnan(found[f"recall_{classes[c]}"])} == absent


def test_what_one_class_cannot_tell_is_no_number():
    found = measure(np.eye(3)[[0, 1, 1]], np.array([1, 1, 1]), CLASSES)
    assert math.isnan(found["macro_auroc"])
    assert found["balanced_accuracy"] == found["accuracy"] == pytest.approx(2 / 3)


def awkward(seed):
    """Random answers of few images: classes that are absent, ties, confidences of 0 and 1, lesions of several images."""
    rng = np.random.default_rng(seed)
    k, n = int(rng.integers(2, 6)), int(rng.integers(1, 40))
    labels = rng.choice(rng.permutation(k)[: rng.integers(1, k + 1)], n)
    p = rng.dirichlet(np.full(k, rng.choice([0.05, 1, 20])), n)
    p = 0.5 * p + 0.5 * np.eye(k)[labels] if rng.random() < 0.5 else p
    p = np.round(p, 1) if rng.random() < 0.5 else p
    p[rng.random(n) < 0.3] = np.eye(k)[rng.integers(k)]
    groups = rng.integers(0, max(1, n // 2), n) * k + labels
    return p.astype(np.float32), labels, groups, [f"c{i}" for i in range(k)]


@pytest.mark.parametrize("seed", range(120))
def test_every_point_lies_in_its_own_interval(seed):
    p, labels, groups, classes = awkward(seed)
    found = measure(p, labels, classes)
    spans = intervals(Resampled(groups, 50, seed, strata=labels).measure(p, labels, classes))
    assert spans.keys() == found.keys()
    for name, value in found.items():
        low, high = spans[name]
        assert 0 <= low <= value <= high <= 1 or np.isnan([low, value, high]).all(), name


def test_an_interval_is_that_of_the_statistics_of_one_run(finished):
    from lib.statistics.estimates import estimate

    for name in ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "ece"):
        of_run = estimate([finished], name)
        assert finished.metrics["test"][name] == of_run.mean
        assert finished.metrics["intervals"][name] == pytest.approx([of_run.low, of_run.high], abs=1e-6)


def test_the_epochs_metrics_are_those_of_all_its_batches_and_absent_classes_are_told_once(caplog):
    p, y = answers(50)
    metrics = EpochMetrics((*CLASSES, "absent"))
    p = np.pad(p, ((0, 0), (0, 1)))
    for _ in range(2):
        for rows in np.array_split(np.arange(50), 4):
            metrics.update(torch.tensor(p[rows]), torch.tensor(y[rows]))
        assert metrics.compute() == pytest.approx(measure(p, y, metrics.classes), nan_ok=True)
        metrics.reset()
    assert (
        caplog.text.count("no image of the validation part shows absent: means over classes are over the other 3") == 1
    )


def test_what_is_no_number_is_null_in_json_and_comes_back():
    samples = Resampled([0, 1, 2], 20).measure(np.eye(3)[[0, 1, 1]], np.array([0, 1, 1]), CLASSES)
    text = json_text(with_intervals(samples))

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    kept = json.loads(text, parse_constant=refuse)
    assert (kept["test"]["recall_c"], kept["intervals"]["recall_c"]) == (None, [None, None])
    assert with_nan(kept)["test"] == pytest.approx(with_intervals(samples)["test"], nan_ok=True)


def test_calibration_error_by_hand():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    y = np.array([0, 1, 0, 0])  # 0.9 is right half the time, 0.6 always
    assert measure(p, y, ("a", "b"))["ece"] == pytest.approx((0.4 + 0.4) / 2, abs=1e-6)


def test_a_confidence_of_one_shares_the_last_bin():
    """torchmetrics 1.9.0 gives it a bin of its own: there the error is 0.5·0.02 + 0.5·0.04."""
    p, y = np.array([[0.98, 0.02]] * 50 + [[1.0, 0.0]] * 50), np.repeat([0, 1, 0], [98, 2, 0])
    assert measure(p, y, ("a", "b"))["ece"] == pytest.approx(abs(0.98 - 0.99))


@pytest.mark.parametrize("ties", [False, True])
def test_resampling_equals_measuring_the_resample(ties):
    p, y = answers(120)
    if ties:
        p = np.round(p, 1) + 1e-3
        p /= p.sum(axis=1, keepdims=True)
    groups = np.arange(120) // 2
    resampled = Resampled(groups, resamples=5, seed=1)
    samples = resampled.measure(p, y, CLASSES)
    assert {k: v[0] for k, v in samples.items()} == measure(p, y, CLASSES)
    for r in range(1, 6):
        rows = np.repeat(np.arange(120), resampled.weights[r].astype(int))
        assert {k: v[r] for k, v in samples.items()} == pytest.approx(measure(p[rows], y[rows], CLASSES), abs=2e-5)


def test_two_hundred_classes_do_not_fill_the_memory():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 200, 6000)
    p = rng.dirichlet(np.ones(200), 6000)
    names = [f"c{i}" for i in range(200)]
    samples = Resampled(np.arange(6000), resamples=10).measure(p, y, names)
    assert abs(samples["accuracy"].mean() - 1 / 200) < 0.005


def test_whole_lesions_are_resampled():
    weights = Resampled(["x", "x", "y", "y", "y"], resamples=50).weights
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2:] == weights[:, 2:3]).all()
    assert ((weights[:, 0] + weights[:, 2]) == 2).all()


def test_the_same_groups_are_drawn_once_and_others_anew():
    groups, labels = np.arange(12) // 2, np.repeat(["b", "a"], 6)
    first = Resampled(groups, resamples=20, seed=3, strata=labels).weights
    other = {"strata": np.repeat(["b", "a"], [2, 10])}, {"strata": labels, "seed": 4}, {"strata": None}
    for options in other:
        weights = Resampled(groups, resamples=20, **{"seed": 3, **options}).weights
        assert not np.array_equal(weights, first)
    first_again = Resampled(
        groups, resamples=20, seed=3, strata=np.repeat([1, 0], 6)
    ).weights  # in another place of the order
    assert np.array_equal(first_again, first)
    drawn = _draws.cache_info().hits
    Resampled(np.repeat(np.arange(6), 3), resamples=20, seed=3, strata=np.repeat(["b", "a"], 9))  # more views of each
    assert _draws.cache_info().hits == drawn + 1


def test_each_class_keeps_its_number_of_lesions():
    labels = np.repeat([0, 0, 0, 1, 2, 2], 2)
    weights = Resampled(np.arange(12) // 2, resamples=50, strata=labels).weights
    assert (weights[:, ::2] == weights[:, 1::2]).all()
    assert (weights @ np.eye(3)[labels] == [6, 2, 4]).all()
    assert (weights[0] == 1).all()
    assert len(np.unique(weights, axis=0)) > 20


@pytest.mark.parametrize("stratified", [False, True])
def test_a_resample_that_lacks_a_class_has_no_mean_over_classes(stratified):
    """Not a mean over fewer: a constant answer has a balanced accuracy of 1/3 wherever it has one."""
    y = np.array([0] * 20 + [1] * 3 + [2] * 2)
    p = np.tile([0.8, 0.1, 0.1, 0.0], (25, 1))  # the fourth class has no image
    resampled = Resampled(np.arange(25), strata=y if stratified else None)
    samples = resampled.measure(p, y, (*CLASSES, "d"))
    whole = (resampled.weights @ np.eye(3)[y] > 0).all(axis=1)
    assert whole.all() == stratified
    for name in ("balanced_accuracy", "macro_f1", "macro_auroc"):
        assert (np.isfinite(samples[name]) == whole).all()
    assert samples["balanced_accuracy"][whole] == pytest.approx(1 / 3)
    assert samples["macro_auroc"][whole] == pytest.approx(1 / 2)
    assert np.isfinite(samples["accuracy"]).all()
    assert np.isnan(samples["recall_d"]).all()


def test_a_class_that_is_only_answered_counts_in_every_resample():
    y, said = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    samples = Resampled(np.arange(4), strata=y).measure(np.eye(3)[said], y, CLASSES)["macro_f1"]
    assert measure(np.eye(3)[said], y, CLASSES)["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert np.unique(samples) == pytest.approx([1 / 3, 5 / 9, 2 / 3])  # of the second class none, one, both are right


def test_views_of_one_lesion_widen_the_interval():
    p, y = answers(100)
    p, y = np.repeat(p, 4, axis=0), np.repeat(y, 4)
    alone = intervals(Resampled(np.arange(400)).measure(p, y, CLASSES))["accuracy"]
    grouped = intervals(Resampled(np.arange(400) // 4).measure(p, y, CLASSES))["accuracy"]
    assert grouped[1] - grouped[0] > 1.6 * (alone[1] - alone[0])


def test_the_interval_covers_the_truth_nineteen_times_of_twenty():
    truth = measure(*answers(200_000, seed=99), CLASSES)["accuracy"]
    covered = 0
    for seed in range(200):
        p, y = answers(150, seed)
        low, high = intervals(Resampled(np.arange(150), 300, seed).measure(p, y, CLASSES))["accuracy"]
        covered += low <= truth <= high
    assert covered / 200 == pytest.approx(0.95, abs=0.04)
