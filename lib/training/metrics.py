"""The metrics of every epoch and of the test split, and bootstrap intervals for the latter.

torchmetrics measures. The intervals need the same numbers on a thousand weighted resamples, for which `Resampled`
keeps counts per lesion and multiplies: a second, not minutes. A test holds both to be equal.
"""

from __future__ import annotations

import warnings
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


def build_metrics(classes: Sequence[str]) -> MetricCollection:
    """accuracy, balanced_accuracy (mean recall, the challenge's metric), macro_f1, macro_auroc, ece, recall a class.

    Inputs: probabilities [B, K] and labels [B]. All are fractions in [0, 1].
    """
    k = len(classes)
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(k, average="micro"),
            "balanced_accuracy": MulticlassAccuracy(k, average="macro"),
            "macro_f1": MulticlassF1Score(k, average="macro"),
            "macro_auroc": MulticlassAUROC(k, average="macro"),
            "ece": MulticlassCalibrationError(k, n_bins=BINS, norm="l1"),
            "recall": MulticlassRecall(k, average="none"),
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
    metrics = build_metrics(classes)
    metrics.update(torch.tensor(np.asarray(probabilities)), torch.tensor(np.asarray(labels)))
    return flatten(metrics.compute(), classes)


class Resampled:
    """The metrics on bootstrap resamples of whole groups (lesions): views of one lesion are not independent.

    Two models on the same images are compared on the same resamples: give both the same `seed`.
    """

    def __init__(self, groups: Sequence[str], resamples: int = 1000, seed: int = 0) -> None:
        _, self.group = np.unique(np.asarray(groups), return_inverse=True)
        n = self.group.max() + 1
        draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
        self.weights = draws[:, self.group].astype(np.float64)  # (resamples, images)

    def measure(self, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """Each metric's value on each resample, [resamples]."""
        w, p, y, k = self.weights, np.asarray(probabilities), np.asarray(labels), len(classes)
        predicted = p.argmax(axis=1)
        truth, said = np.eye(k)[y], np.eye(k)[predicted]
        hits, support, answers = w @ (truth * said), w @ truth, w @ said  # (resamples, classes)
        with warnings.catch_warnings():  # a rare class may be missing from a resample: 0/0 is NaN and left out of means
            warnings.simplefilter("ignore", RuntimeWarning)
            recall = hits / support
            values = {
                "accuracy": hits.sum(axis=1) / w.sum(axis=1),
                "balanced_accuracy": np.nanmean(recall, axis=1),
                "macro_f1": np.nanmean(2 * hits / (support + answers), axis=1),
                "macro_auroc": np.nanmean([_auroc(w, p[:, c], y == c) for c in range(k)], axis=0),
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
    zero = np.zeros((len(w), 1))
    true, false = np.hstack([zero, true]), np.hstack([zero, false])
    area = ((true[:, 1:] + true[:, :-1]) / 2 * np.diff(false, axis=1)).sum(axis=1)
    return area / (true[:, -1] * false[:, -1])


def _ece(weights: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Σ over bins of |weighted right − weighted confidence| / total weight (Naeini et al., AAAI 2015)."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = weights @ (np.eye(BINS)[place] * (right - confidence)[:, None])
    return np.abs(gap).sum(axis=1) / weights.sum(axis=1)


def intervals(samples: dict[str, np.ndarray], level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Percentile interval of each metric from its values on the resamples."""
    tail = 100 * (1 - level) / 2
    return {name: tuple(np.nanpercentile(v, [tail, 100 - tail]).tolist()) for name, v in samples.items()}
