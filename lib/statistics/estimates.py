"""What may be said about a configuration, or about two: means over seeds, 95 % intervals, tests, effect sizes.

A claim about a method needs several trainings of it. With one seed an interval covers the choice of test images only,
and a comparison has no p-value. Every metric has the same test, that of its interval: Student's t over seeds and
resampled images (`lib.statistics.intervals` tells how the two are put together). Views of one lesion are not independent:
lesions (`group`) are resampled, and are the units of McNemar's test.

McNemar's test stands beside it for accuracy, and says something else: whether these very networks differ on other
lesions. It knows nothing of other trainings. Of two equal methods of three seeds each it finds 5 % different where
seeds do not differ, but 41 to 58 % where they do by 5 to 10 points: no claim about methods can rest on it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lib.errors import WorkbookValueError
from lib.statistics.intervals import uncertainty
from lib.statistics.mcnemar import McNemar, mcnemar
from lib.statistics.resampling import MetricSamples, Tested, aligned, metric_samples

NO_CLAIM = "no test: with one seed no claim about the method can be made"
SEEDS_AND_IMAGES = "Student's t over seeds and resampled test images"
SAME_NETWORKS = "Student's t over each seed's own difference and resampled test images"
HEDGES = "Hedges' g over seeds"


@dataclass(frozen=True)
class Estimate:
    """One metric of one configuration, mostly a fraction in [0, 1]."""

    mean: float  # over seeds
    sd: float  # over seeds (ddof=1); NaN with one
    low: float  # 95 % interval of the method, over images and seeds; with one seed over images only
    high: float
    seeds: int
    images: int
    groups: int  # lesions


@dataclass(frozen=True)
class Comparison:
    """One metric of a first configuration minus that of a second, in fractions."""

    metric: str
    difference: float
    low: float  # 95 % interval as of `Estimate`
    high: float
    p: float | None  # two-sided; None where a side has one seed: no claim can be made
    effect: float
    effect_name: str
    test: str  # how p was found, for the table's footnote
    seeds: int  # of the side that has fewer
    images: int  # of both test sets together where they are not paired
    networks: McNemar | None = None  # these very networks on these images; of accuracy on the same images


def estimate(runs: Sequence[Tested], metric: str) -> Estimate:
    """Mean ± standard deviation over the runs of one configuration, one a seed, with a 95 % interval.

    Raises:
        WorkbookValueError: no runs, runs tested on different images, or an unknown metric.
    """
    (answers,) = aligned(runs)
    return estimate_of(metric_samples(answers, metric))


def compare(first: Sequence[Tested], second: Sequence[Tested], metric: str, same_networks: bool = False) -> Comparison:
    """The first configuration minus the second on the same test images; each sequence holds a run a seed.

    The images are paired, the seeds are not (see `uncertainty`), so the sides may have different numbers of seeds;
    `same_networks` as in `difference_of`. p is below 0.05 exactly where the interval excludes 0.

    Raises:
        WorkbookValueError: no runs, runs tested on different images, an unknown metric, or with `same_networks` more
            runs on one side.
    """
    sides = aligned(first, second)
    comparison = difference_of(metric, *(metric_samples(side, metric) for side in sides), same_networks=same_networks)
    if metric != "accuracy" or same_networks:
        return comparison
    right = [np.column_stack([answers.right for answers in side]) for side in sides]
    return replace(comparison, networks=mcnemar(*right, sides[0][0].groups))


def compare_unpaired(
    first: Sequence[Tested], second: Sequence[Tested], metric: str, same_networks: bool = False
) -> Comparison:
    """The first configuration minus the second, each on test images of its own, e.g. of another split; with
    `same_networks` the same runs on two test sets.

    The two test sets are taken as independent; where they share images the interval is too wide rather than too narrow.
    Each side is one split: the interval does not cover another draw of the split.

    Raises:
        WorkbookValueError: no runs, runs of one side tested on different images, an unknown metric, or with
            `same_networks` more runs on one side.
    """
    sides = [metric_samples(*aligned(side), metric, seed) for seed, side in enumerate((first, second))]
    return difference_of(metric, *sides, paired=False, same_networks=same_networks)


def estimate_of(side: MetricSamples, bounds: tuple[float, float] = (0, 1)) -> Estimate:
    """The estimate of a metric's values, one a seed, and those on resamples of the images; `bounds`: what the metric can be."""
    values = side.values
    mean = float(values.mean())
    low, high = uncertainty([values], [side.samples]).interval(mean)
    sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    low, high = np.clip([low, high], *bounds).tolist()  # a t interval of two seeds is wide
    return Estimate(mean, sd, low, high, len(values), side.images, side.groups)


def difference_of(
    metric: str, first: MetricSamples, second: MetricSamples, paired: bool = True, same_networks: bool = False
) -> Comparison:
    """The one statistic for "first − second", wherever the values come from. With one seed on a side there is no p: the
    interval covers other test images, not other trainings.

    Args:
        metric: its name.
        first, second: of each side; row by row the same resamples if `paired`.
        paired: whether both sides were tested on the same images.
        same_networks: whether both sides are the same networks, seed by seed in one order, e.g. with and without a part,
            or on two test sets. A network that is good on one side is mostly good on the other: what varies over seeds
            is each one's own difference, whose variance has S − 1 degrees of freedom.

    Raises:
        WorkbookValueError: with `same_networks` more seeds on one side.
    """
    seeds = min(len(first.values), len(second.values))
    if not same_networks:
        error = uncertainty([first.values, second.values], [first.samples, second.samples])
    elif len(first.values) == len(second.values):
        error = uncertainty([first.values - second.values], [first.samples - second.samples])
    else:
        raise WorkbookValueError(
            f"{len(first.values)} networks on one side and {len(second.values)} on the other: give the same networks on "
            "both, seed by seed in one order."
        )
    difference = float(first.values.mean() - second.values.mean())
    low, high = np.clip(error.interval(difference), -1, 1).tolist()  # of two fractions
    test = SAME_NETWORKS if same_networks else SEEDS_AND_IMAGES
    return Comparison(
        metric,
        difference,
        low,
        high,
        p=error.p_value(difference) if seeds > 1 else None,
        effect=hedges_g(first.values, second.values),
        effect_name=HEDGES,
        test=test if seeds > 1 else NO_CLAIM,
        seeds=seeds,
        images=first.images if paired else first.images + second.images,
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected by Holm's step-down method (Scandinavian Journal of Statistics 1979); None and NaN stay as they
    are and do not count. By hand, since statsmodels' `multipletests`, which the tests compare with, collects garbage at
    every call: a report makes hundreds."""
    known = [i for i, p in enumerate(p_values) if p is not None and not math.isnan(p)]
    known.sort(key=lambda i: p_values[i])
    corrected, least = list(p_values), 0.0
    for rank, i in enumerate(known):
        corrected[i] = least = min(1.0, max(least, (len(known) - rank) * p_values[i]))
    return corrected


def hedges_g(first: np.ndarray, second: np.ndarray) -> float:
    """Difference of means in pooled standard deviations over seeds, less the bias of few seeds (Hedges 1981).

    NaN where a side has one seed, or nothing differs at all; infinite where only the means differ.
    """
    if min(len(first), len(second)) < 2:
        return math.nan
    sides = [(v.mean(), v.std(ddof=1), len(v)) for v in (first, second)]
    with np.errstate(divide="ignore", invalid="ignore"):
        from statsmodels.stats.meta_analysis import effectsize_smd  # slow to import

        return float(effectsize_smd(*sides[0], *sides[1])[0])
