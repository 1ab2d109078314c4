"""How far a mean over seeds and test images may be off: the interval and the p-value of one number.

A configuration trained with S seeds and tested on N images gives S values of a metric. Their mean μ̂ errs in two ways:
all seeds share the images (some are hard for every network), and each seed brings its own luck, partly as a network,
partly with single images. The second part is independent from seed to seed, so that the seeds' spread shows all of it:

    Var(μ̂) = C + s²/S,    C = V − n/S

V is the bootstrap variance (over lesions) of the mean of the seeds, n the mean over resamples of the variance between
the seeds about their own centres, i.e. what single images add to s² (the covariance of two seeds is what is left, C).
For a difference of two configurations the samples are the differences on the same resamples, s² and n are pooled over
both sides and 1/S becomes 1/S₁ + 1/S₂: the images are paired, the seeds are not, for equal seeds of two different
networks have little in common, and independence is worth twice the degrees of freedom. What they have in common
(the order of the images) makes the interval too wide, not too narrow.

The quantile is Student's t with Satterthwaite's degrees of freedom f·((C + s²/S) / (s²/S))² (Biometrics Bulletin 1946),
f = S − 1 or S₁ + S₂ − 2. C is split into a lower and an upper half after the percentile bootstrap (Efron and Tibshirani
1993), so that the interval is that bootstrap's, moved onto the estimate, where seeds do not differ, and Student's t
where images do not matter. Resampling seeds instead, as in the pigeonhole bootstrap (Owen, Annals of Applied Statistics
2007), shrinks their variance by (S − 1)/S and knows no t quantile: three seeds then cover far less than they say.

s² is taken as n/4 at least: seeds that happen to agree on few images would else give an interval without width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
LEAST_SPREAD = 1 / 4  # of the spread that single images alone give the seeds


@dataclass(frozen=True)
class Uncertainty:
    """Standard errors towards each side, and the degrees of freedom of the t that scales them."""

    lower: float
    upper: float
    freedom: float

    def interval(self, estimate: float) -> tuple[float, float]:
        """The 95 % interval around `estimate`."""
        t = stats.t.ppf((1 + LEVEL) / 2, self.freedom)
        return float(estimate - t * self.lower), float(estimate + t * self.upper)

    def p_value(self, estimate: float) -> float:
        """Two-sided, of the hypothesis that the truth is 0; below 0.05 exactly where the interval excludes 0."""
        if estimate == 0:
            return 1.0
        error = self.lower if estimate > 0 else self.upper
        if error == 0:
            return 0.0
        return float(2 * stats.t.sf(abs(estimate) / error, self.freedom))


def uncertainty(values: Sequence[np.ndarray], samples: Sequence[np.ndarray]) -> Uncertainty:
    """Of the mean of one side, or of the first side's mean minus the second's.

    Args:
        values: the metric of each seed, [S] for each side.
        samples: the same on bootstrap resamples of the images, [resamples, S] for each side; row by row the same
            resamples where the sides are paired. Rows with a NaN (a class is missing) are left out.

    A side with one seed leaves the seeds' variance unknown: the interval then covers the images only.
    """
    whole = np.isfinite(np.hstack(samples)).all(axis=1)
    samples = [side[whole] for side in samples]
    if len(samples[0]) < 2:
        return Uncertainty(math.nan, math.nan, math.inf)
    means = samples[0].mean(axis=1) - (samples[1].mean(axis=1) if len(samples) == 2 else 0)
    images = means.var(ddof=1)
    low, high = np.percentile(means, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    halves = np.square([means.mean() - low, high - means.mean()]) / stats.norm.ppf((1 + LEVEL) / 2) ** 2
    if min(len(v) for v in values) == 1 or images == 0 == _pooled(values):
        return Uncertainty(*np.sqrt(halves).tolist(), math.inf)
    common, seeds, freedom = _components(values, samples, images)
    share = common / images if images else 0.0
    lower, upper = np.sqrt(halves * share + seeds).tolist()
    return Uncertainty(lower, upper, freedom)


def _components(
    values: Sequence[np.ndarray], samples: Sequence[np.ndarray], images: float
) -> tuple[float, float, float]:
    """C, s²/S and Satterthwaite's degrees of freedom (see the module); `images` is V."""
    per_seed = sum(1 / len(v) for v in values)
    noise = np.mean(_pooled([(side - side.mean(axis=0)).T for side in samples]))
    common = max(0.0, images - noise * per_seed)
    seeds = max(_pooled(values), LEAST_SPREAD * noise) * per_seed
    freedom = sum(len(v) - 1 for v in values) * ((common + seeds) / seeds) ** 2 if seeds else math.inf
    return common, seeds, freedom


def _pooled(values: Sequence[np.ndarray]) -> np.ndarray:
    """The variance between seeds (axis 0), pooled over the sides as in Student's t-test."""
    squares = sum(((v - v.mean(axis=0)) ** 2).sum(axis=0) for v in values)
    return squares / sum(len(v) - 1 for v in values)
