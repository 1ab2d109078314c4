"""Intervals that cover and tests that keep their level, by simulation of `estimate` and of the comparisons themselves.

A logit of each class per image: lesion, lesion × network and image × network noise, and what a network is better by in
each class. Networks of one method differ by luck alone, so two sets of them are a null comparison.
"""

from functools import cache, lru_cache, partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.statistics import resampling
from lib.statistics.estimates import compare, compare_unpaired, estimate
from lib.statistics.mcnemar import mcnemar

CLASSES = ("a", "b", "c")
LESIONS = (36, 18, 12)  # of each class, as a split that is drawn class by class has them
METRICS = ("accuracy", "balanced_accuracy", "macro_f1")


@pytest.fixture(autouse=True)
def _fewer_resamples_and_no_other_metric(monkeypatch):
    """They take most of the time."""
    monkeypatch.setattr("lib.training.metrics._auroc", lambda weights, *_: np.zeros(len(weights)))
    monkeypatch.setattr("lib.training.metrics._ece", lambda weights, *_: np.zeros(len(weights)))
    full = resampling._resampled.__wrapped__

    @lru_cache(maxsize=4)
    def fewer(groups, strata, seed):
        some = full(groups, strata, seed)
        some.weights = some.weights[:301]
        return some

    monkeypatch.setattr(resampling, "_resampled", fewer)


def answers(rng, networks, skills, lesions=LESIONS, views=2):
    """Labels [N], lesions [N] and what each network says, [N, networks]; `skills` [networks, K] go to the right logit."""
    label = np.repeat(np.arange(len(lesions)), lesions)
    lesion = np.repeat(np.arange(len(label)), views)
    noise = rng.normal(size=(len(label), networks + 1, len(lesions)))
    noise = (noise[:, :1] + 0.5 * noise[:, 1:])[lesion]
    noise += 0.5 * rng.normal(size=noise.shape)
    y = label[lesion]
    return y, lesion, (noise + skills * np.eye(len(lesions))[y][:, None]).argmax(axis=2)


def luck(rng, networks, sd):
    """What networks of one method are worth in each class, [networks, K]."""
    return 1.2 + sd * (rng.normal(size=(networks, 1)) + rng.normal(size=(networks, len(CLASSES))))


def measured(y, said):
    """The three metrics of [N] answers, by their definitions."""
    hits, support, answered = (np.bincount(each, minlength=len(CLASSES)) for each in (y[y == said], y, said))
    f1 = (2 * hits / (support + answered)).mean()
    return dict(zip(METRICS, (hits.sum() / len(y), (hits / support).mean(), f1), strict=True))


def runs_of(y, lesion, said):
    """Runs as the statistics take them, one a network."""
    table = pd.DataFrame({"image_id": np.arange(len(y)), "group": lesion, "label": np.take(CLASSES, y)})
    runs = []
    for column in said.T:
        own = table.assign(prediction=np.take(CLASSES, column))
        for k, name in enumerate(CLASSES):
            own[f"prob_{name}"] = (column == k).astype(float)
        runs.append(SimpleNamespace(predictions=own, classes=CLASSES, metrics={"test": measured(y, column)}))
    return runs


@cache
def truth(sd):
    """The means of the metrics over networks and images, which the intervals are to cover."""
    rng = np.random.default_rng(99)
    found = []
    for _ in range(200):
        y, _, said = answers(rng, 10, luck(rng, 10, sd), [40 * n for n in LESIONS], views=1)
        found += [measured(y, column) for column in said.T]
    return pd.DataFrame(found).mean()


def simulated(worlds, seeds, sd, splits=5, seed=0):
    """The share of null comparisons with p < 0.05, and that of estimates whose interval covers the truth, by metric.

    Networks of one method may be parted into two sides in many ways, each a null comparison: `splits` of them are made.
    """
    rng = np.random.default_rng(seed)
    rejected, covered = pd.Series(0.0, METRICS), pd.Series(0.0, METRICS)
    for _ in range(worlds):
        runs = runs_of(*answers(rng, 2 * seeds, luck(rng, 2 * seeds, sd)))
        for i in range(splits):
            parted = [runs[place] for place in rng.permutation(2 * seeds)]
            for metric in METRICS:
                found = compare(parted[:seeds], parted[seeds:], metric)
                assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
                rejected[metric] += found.p < 0.05
                if i < 2:
                    found = estimate(parted[:seeds], metric)
                    covered[metric] += found.low <= truth(sd)[metric] <= found.high
    return rejected / (worlds * splits), covered / (2 * worlds)


@pytest.mark.parametrize(("seeds", "sd", "worlds"), [(3, 0.3, 350), (5, 0.3, 180)])
def test_comparisons_keep_their_level_and_intervals_cover(seeds, sd, worlds):
    rejected, covered = simulated(worlds, seeds, sd)
    for metric in METRICS:
        assert rejected[metric] == pytest.approx(0.05, abs=0.01), metric
        assert covered[metric] == pytest.approx(0.95, abs=0.02), metric


def test_mcnemar_is_about_these_networks_and_no_claim_about_methods():
    """It keeps its level where networks do not differ, and rejects a true null far too often where they do."""
    rng, groups = np.random.default_rng(2), np.arange(300) // 2

    def rejects(seeds, sd):
        score = np.repeat(rng.normal(size=(150, 1)) + 0.5 * rng.normal(size=(150, 2 * seeds)), 2, axis=0)
        right = score + 0.5 * rng.normal(size=score.shape) + sd * rng.normal(size=2 * seeds) > -1
        return mcnemar(right[:, :seeds], right[:, seeds:], groups).p < 0.05

    assert 0.02 < np.mean([rejects(1, 0.0) for _ in range(2000)]) < 0.05  # exact, and so a little below
    assert np.mean([rejects(3, 0.3) for _ in range(500)]) > 0.35


def drops(worlds, seeds, sd, comparison):
    """The share of p < 0.05 where the same networks are equally good on two test sets."""
    rng, rejected = np.random.default_rng(3), 0
    for _ in range(worlds):
        skills = luck(rng, seeds, sd)
        sides = [runs_of(*answers(rng, seeds, skills)) for _ in range(2)]
        rejected += comparison(*sides, "accuracy").p < 0.05
    return rejected / worlds


def test_the_same_networks_on_two_test_sets_keep_the_level():
    """What a seed is better by it is better by on both sets: taken as independent networks the drop could not be seen."""
    assert 0.03 < drops(600, 3, 0.6, partial(compare_unpaired, same_networks=True)) < 0.06
    assert drops(100, 3, 0.6, compare_unpaired) < 0.01
