"""How far a mean over seeds and test images may be off: the interval and the p-value of one number.

A configuration trained with S seeds and tested on N images gives S values of a metric. Their mean errs in two ways:
all seeds share the images (some are hard for every network), and each seed brings its own luck, partly as a network,
partly with single images. The second part is independent from seed to seed, so that the seeds' variance s² shows all
of it:

    Var(mean) = C + s²/S,    C = V − n/S

V is the bootstrap variance (over lesions) of the mean of the seeds; n is the mean over resamples of the variance
between the seeds about their own centres, i.e. what single images add to s². What is left, C, is the covariance of two
seeds. For a difference of two configurations V is that of the differences on the same resamples, and each side
contributes its own s²/S and n/S: the images are paired, the seeds are not. (The same networks on two test sets are one
side, of each network's difference: there the seeds are paired and the images are not.) Seeds of equal number share
little but the order of the training images, independence is worth twice the degrees of freedom, and what they do share
makes the interval too wide, not too narrow.

The quantile is Student's t with f·(C + s²/S) / (s²/S) degrees of freedom; f = S − 1, for two sides 2(S − 1), and
Welch's (Biometrika 1947) where they have different numbers of seeds. Satterthwaite (Biometrics Bulletin 1946) squares
that ratio, which with few seeds covers too little, for the ratio is itself noisy. C is split into a lower and an upper
half after the percentile bootstrap (Efron and Tibshirani 1993). So the interval is that bootstrap's, moved onto the
estimate, where seeds do not differ, and Student's t interval where images do not matter. s² is taken as n/10 at least:
seeds that happen to agree on few images would else give an interval without width.

Simulated with `estimate` and `compare` themselves (accuracy, balanced accuracy and macro F1 of 66 lesions in three
classes, two views each; networks that differ by luck in single images only, and by 4 or 8 points besides; 3,000 studies):

    S       interval covers     a null comparison rejects
    3       95 %                4.0–4.6 %
    5       94–95 %             4.6–5.2 %

So p is a little too large rather than too small: C, where it is near 0, is cut off at 0. (Left negative it rejects up to
7 %.) The same networks on two test sets reject in 3.9–4.5 %. With two seeds a null comparison rejects in 3–6 % and
intervals cover 91–95 %. A balanced accuracy whose rarest class has two lesions covers 92–95 %.

Two seeds cover least where seeds differ far more than images (91 %, where the percentile bootstrap that resamples
seeds as well, Owen's pigeonhole of Annals of Applied Statistics 2007, has 80 %, and 87 % with three seeds: it shrinks
their variance by (S − 1)/S and knows no t quantile). The recall of a class with some ten lesions covers 92–95 %,
the calibration error, an estimate that is itself too high, 81 % (three seeds, 300 lesions), macro AUROC 96 %.
Comparisons reject too often where the variance of one side's seeds is nine times the other's: 7 % with three seeds
each, 10 % where that side has two and the other five.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # which loads `scipy.stats` when it is first used

from lib.training.metrics import LEVEL, reach

LEAST_SPREAD = 1 / 10  # of the spread that single images alone give the seeds


@dataclass(frozen=True)
class Uncertainty:
    """Standard errors towards each side, and the degrees of freedom of the t that scales them."""

    lower: float
    upper: float
    freedom: float

    def interval(self, estimate: float) -> tuple[float, float]:
        """The 95 % interval around `estimate`."""
        t = scipy.stats.t.ppf((1 + LEVEL) / 2, self.freedom)
        return float(estimate - t * self.lower), float(estimate + t * self.upper)

    def p_value(self, estimate: float) -> float:
        """Two-sided, of the hypothesis that the truth is 0; below 0.05 exactly where the interval excludes 0."""
        if estimate == 0:
            return 1.0
        error = self.lower if estimate > 0 else self.upper
        if error == 0:
            return 0.0
        return float(2 * scipy.stats.t.sf(abs(estimate) / error, self.freedom))


def uncertainty(values: Sequence[np.ndarray], samples: Sequence[np.ndarray]) -> Uncertainty:
    """Of the mean of one side, or of the first side's mean minus the second's.

    Args:
        values: the metric of each seed, [S] for each side.
        samples: the same on bootstrap resamples of the images, [resamples, S] for each side; row by row the same
            resamples where the sides are paired. Rows with a NaN are left out: a resample without an image of a class
            has no recall of it and no mean over classes. Resamples drawn class by class have no such rows, unless the
            test set lacks the class.

    A side with one seed leaves the seeds' variance unknown: the interval then covers the images only.
    """
    whole = np.isfinite(np.hstack(samples)).all(axis=1)
    if whole.sum() < 2:
        return Uncertainty(math.nan, math.nan, math.inf)
    samples = [side[whole] for side in samples]
    means = samples[0].mean(axis=1) - (samples[1].mean(axis=1) if len(samples) == 2 else 0)
    images = means.var(ddof=1)
    if min(len(v) for v in values) == 1:
        common, seeds, freedom = images, 0.0, math.inf
    else:
        common, seeds, freedom = _components(values, samples, images)
    share = common / images if images else 0.0
    halves = np.square(reach(means)) / scipy.stats.norm.ppf((1 + LEVEL) / 2) ** 2
    return Uncertainty(*np.sqrt(halves * share + seeds).tolist(), freedom)


def _components(
    values: Sequence[np.ndarray], samples: Sequence[np.ndarray], images: float
) -> tuple[float, float, float]:
    """C, the sum of s²/S, and the degrees of freedom (see the module); `images` is V."""
    noise = sum((side - side.mean(axis=0)).var(axis=1, ddof=1).mean() / side.shape[1] for side in samples)
    parts = np.array([v.var(ddof=1) / len(v) for v in values])
    common, seeds = max(0.0, images - noise), max(parts.sum(), LEAST_SPREAD * noise)
    if seeds == 0:
        return common, seeds, math.inf
    return common, seeds, _freedom(parts, np.array([len(v) for v in values])) * (common + seeds) / seeds


def _freedom(parts: np.ndarray, counts: np.ndarray) -> float:
    """Of the seeds' variance: Student's for equal numbers of seeds, which is robust there, else Welch's."""
    if len(set(counts.tolist())) == 1 or not parts.any():
        return float((counts - 1).sum())
    return float(parts.sum() ** 2 / (parts**2 / (counts - 1)).sum())
