"""The metrics of every epoch and of the test split, and bootstrap intervals for the latter.

torchmetrics measures. The intervals need the same numbers on a thousand weighted resamples, for which `Resampled`
keeps counts per lesion and multiplies: a second, not minutes. A test holds both to be equal.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassCalibrationError,
    MulticlassF1Score,
    MulticlassRecall,
)

BINS = 15  # of the expected calibration error


def build_metrics(classes: Sequence[str], together: bool = True) -> MetricCollection:
    """accuracy, balanced_accuracy (mean recall, the challenge's metric), macro_f1, macro_auroc, ece, recall a class.

    Inputs: probabilities [B, K] and labels [B]. All are fractions in [0, 1]. In a run of several processes they are those
    of the images of all, which compute them `together`, or of this one's alone.
    """
    k, sync = len(classes), {"sync_on_compute": together}
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(k, average="micro", **sync),
            "balanced_accuracy": MulticlassAccuracy(k, average="macro", **sync),
            "macro_f1": MulticlassF1Score(k, average="macro", **sync),
            "macro_auroc": MulticlassAUROC(k, average="macro", **sync),
            "ece": MulticlassCalibrationError(k, n_bins=BINS, norm="l1", **sync),
            "recall": MulticlassRecall(k, average="none", **sync),
        },
        compute_groups=False,
    )


def flatten(values: dict[str, Tensor], classes: Sequence[str], prefix: str = "") -> dict[str, float]:
    """Metric tensors to plain numbers; the vector of recalls becomes `recall_<class>`."""
    recalls = values["recall"].tolist()
    flat = {name: float(value) for name, value in values.items() if name != "recall"}
    flat |= {f"recall_{name}": value for name, value in zip(classes, recalls, strict=True)}
    return {prefix + name: round(value, 6) for name, value in flat.items()}


def measure(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """All metrics of `build_metrics` for probabilities [N, K] and labels [N]."""
    metrics = build_metrics(classes, together=False)
    metrics.update(torch.tensor(np.asarray(probabilities)), torch.tensor(np.asarray(labels)))
    return flatten(metrics.compute(), classes)


class Resampled:
    """The metrics on bootstrap resamples of whole groups (lesions): views of one lesion are not independent.

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
        stratum = np.zeros(len(first)) if strata is None else np.asarray(strata)[first]
        rng, draws = np.random.default_rng(seed), np.empty((resamples, len(first)))
        for label in np.unique(stratum):
            members = np.flatnonzero(stratum == label)
            n = len(members)
            draws[:, members] = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
        self.weights = draws[:, self.group]  # (resamples, images)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean of a number an image, [N], on each resample, [resamples]."""
        return self.weights @ np.asarray(values, dtype=float) / self.weights.sum(axis=1)

    def measure(self, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """Each metric's value on each resample, [resamples].

        A class without images has no part in a mean over classes (a class that is only answered has an F1 of 0); a
        resample that lacks a class of the test set has no such mean: it is NaN, not a mean over fewer classes.
        """
        w, p, y, k = self.weights, np.asarray(probabilities), np.asarray(labels), len(classes)
        predicted = p.argmax(axis=1)
        truth, answer = np.eye(k)[y], np.eye(k)[predicted]
        hits, support, answers = w @ (truth * answer), w @ truth, w @ answer  # (resamples, classes)
        present = truth.any(axis=0)
        whole = np.where((support[:, present] > 0).all(axis=1), 1.0, np.nan)
        with np.errstate(invalid="ignore"):  # 0/0: the recall of a class that the resample lacks is NaN
            recall, f1 = hits / support, np.nan_to_num(2 * hits / (support + answers))
            auroc = [_auroc(w, p[:, c], y == c) for c in np.flatnonzero(present)]
        values = {
            "accuracy": hits.sum(axis=1) / w.sum(axis=1),
            "balanced_accuracy": whole * recall[:, present].mean(axis=1),
            "macro_f1": whole * f1[:, present | answer.any(axis=0)].mean(axis=1),
            "macro_auroc": whole * np.mean(auroc, axis=0),
            "ece": _ece(w, p.max(axis=1), predicted == y),
        }
        return values | {f"recall_{name}": recall[:, c] for c, name in enumerate(classes)}


def _auroc(weights: np.ndarray, scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Weighted area under the ROC curve by the trapezoid rule over distinct scores; NaN without both kinds."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    w, positive = weights[:, order], positive[order]
    true = np.cumsum(w * positive, axis=1)[:, last_of_tie]
    false = np.cumsum(w * ~positive, axis=1)[:, last_of_tie]
    true, false = (np.pad(counts, ((0, 0), (1, 0))) for counts in (true, false))  # from (0, 0)
    return np.trapezoid(true, false) / (true[:, -1] * false[:, -1])


def _ece(weights: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Σ over bins of |weighted right − weighted confidence| / total weight (Naeini et al., AAAI 2015)."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = weights @ (np.eye(BINS)[place] * (right - confidence)[:, None])
    return np.abs(gap).sum(axis=1) / weights.sum(axis=1)


def intervals(samples: dict[str, np.ndarray], level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Percentile interval of each metric from its values on the resamples."""
    tail = 100 * (1 - level) / 2
    return {name: tuple(np.nanpercentile(v, [tail, 100 - tail]).tolist()) for name, v in samples.items()}
