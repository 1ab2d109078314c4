"""The metrics of a classifier: one formula of each, for the point, its interval, every epoch and a transfer.

A formula counts weighted images. The weights of a test set as it is are 1; those of a bootstrap resample say how often
each image was drawn. So a point and the thousand resamples that its interval comes from cannot differ in what they mean.

The means over classes (balanced accuracy, macro AUROC, macro F1) leave out a class that no image shows, which is told
(`tell_absent`); scikit-learn's definitions are the same. So macro F1 counts a class that is only answered as 0.
"""

import logging
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy  # which loads `scipy.sparse` when it is first used

log = logging.getLogger(__name__)

BINS = 15  # of the expected calibration error
LEVEL = 0.95  # of intervals


def measure(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """accuracy, balanced_accuracy (mean recall, the challenge's metric), macro_f1, macro_auroc, ece, recall_<class>.

    All are fractions in [0, 1] of probabilities [N, K] and labels [N]. NaN is what the images cannot tell: the recall of a
    class that is not there, and macro AUROC where only one is.
    """
    as_it_is = np.ones((1, len(labels)))
    return {name: float(value) for name, (value,) in _metrics(as_it_is, probabilities, labels, classes).items()}


def tell_absent(labels: np.ndarray, classes: Sequence[str], part: str) -> None:
    """Warn of classes that no image of a part of the data shows."""
    images = np.bincount(labels, minlength=len(classes))
    absent = [name for name, number in zip(classes, images, strict=True) if not number]
    if absent:
        shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        others = len(classes) - len(absent)
        log.warning("no image of the %s part shows %s: means over classes are over the other %d", part, shown, others)


class Resampled:
    """The metrics of a test set and of bootstrap resamples of whole groups (lesions): views of one are not independent.

    Whatever is measured stands first for the images as they are, then for each resample.

    With `strata` (the label of each image) each class keeps its number of groups, as the splits, which are drawn class
    by class, keep it from one test set to the next. So no resample lacks a class, and macro F1, which hangs on the
    shares of the classes, is not spread by shares that no test set would have (simulated: its intervals cover 94 to
    95 % with strata, 95 to 99 % without). Without strata groups are drawn from all.

    Two models on the same images are compared on the same resamples: give both the same `seed`.
    """

    def __init__(
        self, groups: Sequence[str], resamples: int = 1000, seed: int = 0, strata: Sequence[str] | None = None
    ) -> None:
        _, first, self.group = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
        stratum = np.zeros(len(first), int) if strata is None else np.unique(strata, return_inverse=True)[1][first]
        draws = _draws(tuple(stratum.tolist()), resamples, seed)
        self.weights = draws[:, self.group]  # (1 + resamples, images)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean of a number an image, [N]: [1 + resamples]."""
        return self.weights @ np.asarray(values, dtype=float) / self.weights.sum(axis=1)

    def measure(self, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """Each metric of `lib.training.metrics.measure`: [1 + resamples].

        A resample that lacks a class of the test set has no mean over classes: NaN, and no mean over fewer.
        """
        return _metrics(self.weights, probabilities, labels, classes)


@lru_cache(maxsize=1)  # of many trainings in a row that are tested on the same images
def _draws(strata: tuple[int, ...], resamples: int, seed: int) -> np.ndarray:
    """How often each group, of which `strata` tells the stratum, is there [1 + resamples, groups]: once, then as drawn."""
    stratum, rng = np.array(strata), np.random.default_rng(seed)
    draws = np.ones((1 + resamples, len(stratum)))
    for label in np.unique(stratum):
        members = np.flatnonzero(stratum == label)
        n = len(members)
        draws[1:, members] = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    draws.flags.writeable = False
    return draws


def with_intervals(samples: dict[str, np.ndarray]) -> dict[str, dict]:
    """{'test': {metric: value}, 'intervals': {metric: (low, high)}} of what `Resampled` gives."""
    return {"test": {name: float(values[0]) for name, values in samples.items()}, "intervals": intervals(samples)}


def intervals(samples: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each metric, from what `Resampled` gives of it; NaN of what has no value.

    It is the percentile bootstrap's, moved onto the value: resamples of a calibration error are on average larger than
    it. So it holds the value always, and is that of `lib.statistics.estimates.estimate` for this one training.
    """
    found = {}
    for name, (value, *resampled) in samples.items():
        below, above = reach(np.array(resampled))
        found[name] = (float(np.maximum(value - below, 0)), float(np.minimum(value + above, 1)))
    return found


def reach(samples: np.ndarray) -> tuple[float, float]:
    """How far the 95 % percentile interval of resampled values reaches below and above their mean.

    Values that are NaN do not count; of fewer than two the answer is NaN.
    """
    samples = samples[np.isfinite(samples)]
    if len(samples) < 2:
        return np.nan, np.nan
    low, high = np.percentile(samples, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return abs(samples.mean() - low), abs(high - samples.mean())


def _metrics(
    weights: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """Every metric [R] of weighted images, by weights [R, N]."""
    p, y, k = np.asarray(probabilities, dtype=float), np.asarray(labels), len(classes)
    predicted = p.argmax(axis=1)
    right = predicted == y
    every = np.ones(len(y))
    support, answers, hits = (_counts(weights, *of, k) for of in ((y, every), (predicted, every), (y, right)))
    present = np.bincount(y, minlength=k) > 0
    whole = np.where((support[:, present] > 0).all(axis=1), 1.0, np.nan)
    with np.errstate(invalid="ignore"):  # 0/0: the recall of a class that is not there is NaN
        recall, f1 = hits / support, np.nan_to_num(2 * hits / (support + answers))
        auroc = [_auroc(weights, p[:, c], y == c) for c in np.flatnonzero(present)]
    counted = present | (np.bincount(predicted, minlength=k) > 0)
    values = {
        "accuracy": hits.sum(axis=1) / weights.sum(axis=1),
        "balanced_accuracy": whole * recall[:, present].mean(axis=1),
        "macro_f1": whole * f1[:, counted].mean(axis=1),
        "macro_auroc": whole * np.mean(auroc, axis=0),
        "ece": _ece(weights, p.max(axis=1), right),
    }
    return values | {f"recall_{name}": recall[:, c] for c, name in enumerate(classes)}


def _counts(weights: np.ndarray, labels: np.ndarray, values: np.ndarray, k: int) -> np.ndarray:
    """[R, k]: the weighted sum of the values [N] of the images of each label."""
    entries = np.asarray(values, dtype=float), labels, np.arange(len(labels) + 1)
    by_label = scipy.sparse.csr_array(entries, shape=(len(labels), k))
    return weights @ by_label


def _auroc(weights: np.ndarray, scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Weighted area under the ROC curve: the share of pairs of a positive and a negative image in which the positive one has
    the higher score, a tie being half a pair; NaN without both kinds."""
    levels, level = np.unique(scores[positive], return_inverse=True)
    place = np.searchsorted(levels, scores[~positive]) + np.searchsorted(levels, scores[~positive], side="right")
    positives = _counts(weights[:, positive], level, np.ones(len(level)), len(levels))
    negatives = _counts(weights[:, ~positive], place, np.ones(len(place)), 2 * len(levels) + 1)  # at odd places: ties
    below = np.cumsum(negatives, axis=1)
    won = (positives * (below[:, :-1:2] + negatives[:, 1::2] / 2)).sum(axis=1)
    return won / (positives.sum(axis=1) * below[:, -1])


def _ece(weights: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Σ over bins of |weighted right − weighted confidence| / total weight (Naeini et al., AAAI 2015); a confidence of 1
    is in the last bin."""
    place = np.clip(np.nan_to_num(confidence) * BINS, 0, BINS - 1).astype(int)
    return np.abs(_counts(weights, place, right - confidence, BINS)).sum(axis=1) / weights.sum(axis=1)
