"""Metrics against scikit-learn; the resampling engine against torchmetrics; intervals that cover."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score, roc_auc_score

from lib.training.metrics import Resampled, intervals, measure

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


def test_calibration_error_by_hand():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    y = np.array([0, 1, 0, 0])  # 0.9 is right half the time, 0.6 always
    assert measure(p, y, ("a", "b"))["ece"] == pytest.approx((0.4 + 0.4) / 2, abs=1e-6)


@pytest.mark.parametrize("ties", [False, True])
def test_resampling_equals_measuring_the_resample(ties):
    p, y = answers(120)
    if ties:
        p = np.round(p, 1) + 1e-3
        p /= p.sum(axis=1, keepdims=True)
    groups = np.arange(120) // 2
    resampled = Resampled(groups, resamples=5, seed=1)
    samples = resampled.measure(p, y, CLASSES)
    for r in range(5):
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


def test_each_class_keeps_its_number_of_lesions():
    labels = np.repeat([0, 0, 0, 1, 2, 2], 2)
    weights = Resampled(np.arange(12) // 2, resamples=50, strata=labels).weights
    assert (weights[:, ::2] == weights[:, 1::2]).all()
    assert (weights @ np.eye(3)[labels] == [6, 2, 4]).all()
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
