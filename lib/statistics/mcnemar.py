"""McNemar's test for two sets of networks on the same images, several views of a lesion and several seeds allowed.

Psychometrika 1947. The units are lesions: d is what one side is ahead by in one lesion (Obuchowski, Statistics in
Medicine 1998; Durkalski et al., ibid. 2003), and p is exact: how often independent fair signs of the d give a sum as
far from 0 as theirs. With one image a lesion and one network a side this is the binomial test of b against c. SciPy and
statsmodels have none for clusters.

What it says is about these networks on these images: the variance over trainings is not in it.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class McNemar:
    """b and c: images that only the first, or only the second, has right (the mean over pairs of networks)."""

    b: float
    c: float
    p: float
    cohens_g: float  # b / (b + c) − 1/2; 0 where nothing is discordant


def mcnemar(right_first: np.ndarray, right_second: np.ndarray, groups: np.ndarray) -> McNemar:
    """Whether two sides are right equally often; of these networks, not of other trainings.

    Args:
        right_first: whether the answer is right, [N], or [N, S] of S seeds.
        right_second: the same of the other side, whose number of seeds may differ.
        groups: the lesion of each image, [N].
    """
    first, second = (np.asarray(r, int).reshape(len(groups), -1) for r in (right_first, right_second))
    share, other = first.mean(axis=1), second.mean(axis=1)
    b, c = float((share * (1 - other)).sum()), float((other * (1 - share)).sum())
    # whole numbers: d times the numbers of networks
    ahead = first.sum(axis=1) * second.shape[1] - second.sum(axis=1) * first.shape[1]
    place = np.unique(groups, return_inverse=True)[1]
    lesions = np.bincount(place, weights=ahead).round().astype(int)
    p = _exact(lesions[lesions != 0])
    return McNemar(b, c, p, b / (b + c) - 0.5 if b + c else 0.0)


def _exact(steps: np.ndarray) -> float:
    """P(|Σ±d| ≥ |Σd|) with independent fair signs."""
    steps = steps // max(1, math.gcd(*steps.tolist()))
    chances = np.ones(1)  # of each sum from −Σ|d| to Σ|d|, two apart
    for step in np.abs(steps):
        gap = np.zeros(step)
        chances = (np.concatenate([chances, gap]) + np.concatenate([gap, chances])) / 2
    sums = 2 * np.arange(len(chances)) - np.abs(steps).sum()
    return min(1.0, float(chances[np.abs(sums) >= abs(steps.sum())].sum()))
