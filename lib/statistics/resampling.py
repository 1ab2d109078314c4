"""What runs answered on the same test images, and their metrics on the same resamples of the lesions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Protocol

import numpy as np
import pandas as pd

from lib.errors import WorkbookValueError, unknown
from lib.training.metrics import Resampled


class Tested(Protocol):
    """What a run leaves of its test: `lib.training.store.Run` and whatever has the same three."""

    @property
    def predictions(self) -> pd.DataFrame:
        """A row an image: image_id, group, label, prediction, prob_<class>…"""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the network's answers."""

    @property
    def metrics(self) -> dict:
        """{'test': {metric: value}, …}"""


@dataclass(frozen=True)
class RunAnswers:
    """One run's answers on its test images, sorted by image."""

    images: np.ndarray  # [N], of image_id, as are groups and labels
    groups: np.ndarray
    labels: np.ndarray
    right: np.ndarray  # [N]
    probabilities: np.ndarray  # [N, K] in the order of the run's classes
    run: Tested


@dataclass(frozen=True)
class MetricSamples:
    """One metric of one configuration: of each seed, and of each on the same resamples of the test images."""

    values: np.ndarray  # [S]
    samples: np.ndarray  # [resamples, S]
    images: int
    groups: int  # lesions, or identities, that are resampled as a whole


def aligned(*sides: Sequence[Tested]) -> list[list[RunAnswers]]:
    """Each side's answers by image.

    Raises:
        WorkbookValueError: a side without runs, or runs that were tested on different images.
    """
    if not all(sides):
        raise WorkbookValueError("There are no runs to compare: train them with fit(config), one a seed.")
    answers = [[_answers(run) for run in side] for side in sides]
    first = answers[0][0]
    for other in chain(*answers):
        if not all(
            np.array_equal(getattr(other, part), getattr(first, part)) for part in ("images", "groups", "labels")
        ):
            raise WorkbookValueError(
                f"{_name(first.run)} and {_name(other.run)} were tested on different images; they cannot be paired. "
                "Train them with one dataset, split and split_seed; two configurations may be compared unpaired."
            )
    return answers


def metric_samples(answers: Sequence[RunAnswers], metric: str, seed: int = 0) -> MetricSamples:
    """A metric of a test, of runs aligned by image; lesions are resampled class by class, by `seed`.

    Raises:
        WorkbookValueError: an unknown metric.
    """
    for side in answers:
        if metric not in side.run.metrics["test"]:
            raise unknown("metric", metric, side.run.metrics["test"])
    values = np.array([side.run.metrics["test"][metric] for side in answers])
    first, samples = answers[0], []
    resamples = _numbered(first.groups), _numbered(first.labels), seed
    for side in answers:
        place = {name: i for i, name in enumerate(side.run.classes)}
        labels = np.array([place[label] for label in side.labels]).tobytes()
        samples.append(_metrics(side.probabilities.tobytes(), labels, tuple(place), *resamples)[metric][1:])
    return MetricSamples(values, np.column_stack(samples), len(first.images), len(np.unique(first.groups)))


def mean_samples(scores: np.ndarray, groups: Sequence[str]) -> MetricSamples:
    """The mean of a score an image, [S, N] of S seeds on N images; whole `groups` [N] are resampled."""
    weights = _resampled(_numbered(groups)).weights[1:]
    samples = weights @ scores.T / weights.sum(axis=1, keepdims=True)
    return MetricSamples(scores.mean(axis=1), samples, scores.shape[1], len(np.unique(groups)))


def _answers(run: Tested) -> RunAnswers:
    table = run.predictions
    order = np.argsort(table["image_id"].to_numpy(), kind="stable")
    images, groups, labels = (table[name].to_numpy()[order] for name in ("image_id", "group", "label"))
    probabilities = np.column_stack([table[f"prob_{c}"].to_numpy(np.float64) for c in run.classes])[order]
    return RunAnswers(images, groups, labels, labels == table["prediction"].to_numpy()[order], probabilities, run)


def _name(run: Tested) -> str:
    return run.path.name if hasattr(run, "path") else repr(run)


def _numbered(names: Sequence[str]) -> bytes:
    return np.unique(names, return_inverse=True)[1].astype(np.int64).tobytes()


@lru_cache(maxsize=256)  # by content: a table asks for each run once a metric and a comparison, and a run may change
def _metrics(
    probabilities: bytes, labels: bytes, classes: tuple[str, ...], groups: bytes, strata: bytes, seed: int
) -> dict[str, np.ndarray]:
    predicted = np.frombuffer(probabilities).reshape(-1, len(classes))
    return _resampled(groups, strata, seed).measure(predicted, np.frombuffer(labels, np.int64), classes)


@lru_cache(maxsize=4)  # 13 MB for 1,600 images
def _resampled(groups: bytes, strata: bytes | None = None, seed: int = 0) -> Resampled:
    """Bootstrap resamples of whole groups, the same ones whenever the same groups are given."""
    kept = None if strata is None else np.frombuffer(strata, np.int64)
    return Resampled(np.frombuffer(groups, np.int64), seed=seed, strata=kept)
