"""What may be said about a configuration, or about two: means over seeds, 95 % intervals, tests, effect sizes.

A claim about a method needs several trainings of it. With one seed an interval covers the choice of test images only,
and a comparison has no p-value. Views of one lesion are not independent: lesions (`group`) are resampled, and are
the units of McNemar's test. `lib.report.uncertainty` tells how seeds and images are put together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Protocol

import numpy as np
import pandas as pd
from statsmodels.stats.meta_analysis import effectsize_smd

from lib.errors import WorkbookValueError, unknown
from lib.report.mcnemar import McNemar, mcnemar
from lib.report.uncertainty import uncertainty
from lib.training.metrics import Resampled

__all__ = ["Comparison", "Estimate", "McNemar", "Tested", "compare", "compare_unpaired", "estimate", "holm", "mcnemar"]

NO_CLAIM = "no test: with one seed no claim about the method can be made"
SEEDS_AND_IMAGES = "Student's t over seeds and resampled test images"
HEDGES, COHEN = "Hedges' g over seeds", "Cohen's g"


class Tested(Protocol):
    """What a run leaves of its test: `lib.training.store.Run` and whatever has the same three."""

    @property
    def predictions(self) -> pd.DataFrame:
        """A row an image: image_id, group, label, prediction, prob_<class>…"""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def metrics(self) -> dict:
        """{'test': {metric: value}, …}"""


@dataclass(frozen=True)
class Estimate:
    """One metric of one configuration, a fraction in [0, 1]."""

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
    paired: bool


def estimate(runs: Sequence[Tested], metric: str) -> Estimate:
    """Mean ± standard deviation over the runs of one configuration, one a seed, with a 95 % interval.

    Raises:
        WorkbookValueError: no runs, runs tested on different images, or an unknown metric.
    """
    (tests,) = _aligned(runs)
    first = tests[0]
    return estimate_of(_values(runs, metric), _samples(tests, runs, metric), len(first), first["group"].nunique())


def compare(first: Sequence[Tested], second: Sequence[Tested], metric: str) -> Comparison:
    """The first configuration minus the second on the same test images; each sequence holds a run a seed.

    The images are paired, the seeds are not (see `uncertainty`), so the sides may have different numbers of seeds.
    The p-value of `accuracy` is the larger of this test's and McNemar's: McNemar's asks whether these very networks
    differ on other lesions, the other also whether other trainings would, and a claim needs both. So p may be above
    0.05 where the interval excludes 0, never the other way round. For all other metrics both say the same. Of two equal
    methods simulated, McNemar's alone finds 5 % different where seeds do not differ, 40 % where they differ by 5 points;
    the larger p 2 % and 5 %.

    Raises:
        WorkbookValueError: no runs, runs tested on different images, or an unknown metric.
    """
    sides = _aligned(first, second)
    lesions = sides[0][0]["group"].to_numpy()
    found = _difference((first, second), sides, metric, images=len(lesions), paired=True)
    if metric != "accuracy":
        return found
    right = [np.column_stack([t["label"] == t["prediction"] for t in side]) for side in sides]
    test = mcnemar(*right, lesions)
    found = replace(found, effect=test.cohens_g, effect_name=COHEN)
    if found.p is None:
        return found
    return replace(found, p=max(found.p, test.p), test=f"the larger p of {found.test} and of {test.method}")


def compare_unpaired(first: Sequence[Tested], second: Sequence[Tested], metric: str) -> Comparison:
    """The first configuration minus the second, each on test images of its own, e.g. of another split.

    The two test sets are taken as independent; where they share images the interval is too wide rather than too narrow.
    Each side is one split: the interval does not cover another draw of the split.

    Raises:
        WorkbookValueError: no runs, runs of one side tested on different images, or an unknown metric.
    """
    sides = [*_aligned(first), *_aligned(second)]
    return _difference((first, second), sides, metric, images=sum(len(s[0]) for s in sides), paired=False)


def estimate_of(values: np.ndarray, samples: np.ndarray, images: int, groups: int) -> Estimate:
    """Of a metric's values [S], one a seed, and those on resamples of the images [resamples, S]."""
    mean = float(values.mean())
    low, high = uncertainty([values], [samples]).interval(mean)
    sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    low, high = np.clip([low, high], 0, 1).tolist()  # all metrics are fractions; a t interval of two seeds is wide
    return Estimate(mean, sd, low, high, len(values), images, groups)


def difference_of(
    metric: str, values: Sequence[np.ndarray], samples: Sequence[np.ndarray], images: int, paired: bool
) -> Comparison:
    """The first side minus the second, of what `estimate_of` takes for each; row by row the same resamples if `paired`."""
    difference, error = float(values[0].mean() - values[1].mean()), uncertainty(values, samples)
    seeds = min(len(v) for v in values)
    return Comparison(
        metric,
        difference,
        *error.interval(difference),
        p=error.p_value(difference) if seeds > 1 else None,
        effect=hedges_g(*values),
        effect_name=HEDGES,
        test=SEEDS_AND_IMAGES if seeds > 1 else NO_CLAIM,
        seeds=seeds,
        images=images,
        paired=paired,
    )


def resampled(groups: Sequence[str], seed: int = 0) -> Resampled:
    """Bootstrap resamples of whole groups, the same ones whenever it is asked for the same groups."""
    return _resampled(np.unique(groups, return_inverse=True)[1].astype(np.int64).tobytes(), None, seed)


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
        return float(effectsize_smd(*sides[0], *sides[1])[0])


def _difference(
    runs: Sequence[Sequence[Tested]],
    tests: Sequence[Sequence[pd.DataFrame]],
    metric: str,
    images: int,
    paired: bool,
) -> Comparison:
    values = [_values(side, metric) for side in runs]
    streams = (0, 0) if paired else (0, 1)  # the same resamples, or independent ones
    samples = [_samples(t, r, metric, seed) for t, r, seed in zip(tests, runs, streams, strict=True)]
    return difference_of(metric, values, samples, images, paired)


def _aligned(*sides: Sequence[Tested]) -> list[list[pd.DataFrame]]:
    """Each side's predictions by image_id; all sides must have been tested on the same images."""
    if not all(sides):
        raise WorkbookValueError("There are no runs to compare: train them with fit(config), one a seed.")
    known, what = sides[0][0], ["image_id", "group", "label"]
    tables = [[run.predictions.sort_values("image_id", ignore_index=True) for run in side] for side in sides]
    for run, table in zip(chain(*sides), chain(*tables), strict=True):
        if not table[what].equals(tables[0][0][what]):
            raise WorkbookValueError(
                f"{_name(known)} and {_name(run)} were tested on different images; they cannot be paired. "
                "Train them with one dataset, split and split_seed; two configurations may be compared unpaired."
            )
    return tables


def _name(run: Tested) -> str:
    return run.path.name if hasattr(run, "path") else repr(run)


def _values(runs: Sequence[Tested], metric: str) -> np.ndarray:
    for run in runs:
        if metric not in run.metrics["test"]:
            raise unknown("metric", metric, run.metrics["test"])
    return np.array([run.metrics["test"][metric] for run in runs])


def _samples(tests: Sequence[pd.DataFrame], runs: Sequence[Tested], metric: str, seed: int = 0) -> np.ndarray:
    """The metric of each run on each resample of the lesions, class by class, [resamples, S]."""
    columns = []
    for table, run in zip(tests, runs, strict=True):
        classes = tuple(run.classes)
        labels = table["label"].map({c: i for i, c in enumerate(classes)}).to_numpy(np.int64)
        probabilities = table[[f"prob_{c}" for c in classes]].to_numpy(np.float64)
        groups = np.unique(table["group"], return_inverse=True)[1].astype(np.int64)
        columns.append(_measured(probabilities.tobytes(), labels.tobytes(), groups.tobytes(), classes, seed)[metric])
    return np.column_stack(columns)


@lru_cache(maxsize=256)  # by content: a table asks for each run once a metric and a comparison, and a run may change
def _measured(
    probabilities: bytes, labels: bytes, groups: bytes, classes: tuple[str, ...], seed: int
) -> dict[str, np.ndarray]:
    answers = np.frombuffer(probabilities).reshape(-1, len(classes))
    return _resampled(groups, labels, seed).measure(answers, np.frombuffer(labels, np.int64), classes)


@lru_cache(maxsize=4)  # 13 MB for 1,600 images
def _resampled(groups: bytes, strata: bytes | None, seed: int) -> Resampled:
    kept = None if strata is None else np.frombuffer(strata, np.int64)
    return Resampled(np.frombuffer(groups, np.int64), seed=seed, strata=kept)
