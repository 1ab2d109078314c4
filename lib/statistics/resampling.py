"""What runs answered on the same test images, and their metrics on the same resamples of the lesions."""

from __future__ import annotations

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
    def classes(self) -> tuple[str, ...]: ...

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


def _answers(run: Tested) -> RunAnswers:
    table = run.predictions
    order = np.argsort(table["image_id"].to_numpy(), kind="stable")
    images, groups, labels = (table[name].to_numpy()[order] for name in ("image_id", "group", "label"))
    probabilities = np.column_stack([table[f"prob_{c}"].to_numpy(np.float64) for c in run.classes])[order]
    return RunAnswers(images, groups, labels, labels == table["prediction"].to_numpy()[order], probabilities, run)


def aligned(*sides: Sequence[Tested]) -> list[list[RunAnswers]]:
    """Each side's answers by image.

    Raises:
        WorkbookValueError: a side without runs, or runs that were tested on different images.
    """
    if not all(sides):
        raise WorkbookValueError("There are no runs to compare: train them with fit(config), one a seed.")
    tests = [[_answers(run) for run in side] for side in sides]
    known = tests[0][0]
    for each in chain(*tests):
        if not all(
            np.array_equal(getattr(each, what), getattr(known, what)) for what in ("images", "groups", "labels")
        ):
            raise WorkbookValueError(
                f"{_name(known.run)} and {_name(each.run)} were tested on different images; they cannot be paired. "
                "Train them with one dataset, split and split_seed; two configurations may be compared unpaired."
            )
    return tests


def _name(run: Tested) -> str:
    return run.path.name if hasattr(run, "path") else repr(run)


def values_of(runs: Sequence[Tested], metric: str) -> np.ndarray:
    """The metric of each run, [S]; raises WorkbookValueError where it has another name."""
    for run in runs:
        if metric not in run.metrics["test"]:
            raise unknown("metric", metric, run.metrics["test"])
    return np.array([run.metrics["test"][metric] for run in runs])


def samples_of(tests: Sequence[RunAnswers], metric: str, seed: int = 0) -> np.ndarray:
    """The metric of each run on each resample of the lesions, class by class, [resamples, S]."""
    groups, strata = (np.unique(each, return_inverse=True)[1].tobytes() for each in (tests[0].groups, tests[0].labels))
    columns = []
    for test in tests:
        classes = tuple(test.run.classes)
        place = {name: i for i, name in enumerate(classes)}
        labels = np.array([place[label] for label in test.labels]).tobytes()
        columns.append(_measured(test.probabilities.tobytes(), labels, groups, strata, classes, seed)[metric])
    return np.column_stack(columns)


def resampled(groups: Sequence[str], seed: int = 0) -> Resampled:
    """Bootstrap resamples of whole groups, the same ones whenever it is asked for the same groups."""
    return _resampled(np.unique(groups, return_inverse=True)[1].astype(np.int64).tobytes(), None, seed)


@lru_cache(maxsize=256)  # by content: a table asks for each run once a metric and a comparison, and a run may change
def _measured(
    probabilities: bytes, labels: bytes, groups: bytes, strata: bytes, classes: tuple[str, ...], seed: int
) -> dict[str, np.ndarray]:
    answers = np.frombuffer(probabilities).reshape(-1, len(classes))
    return _resampled(groups, strata, seed).measure(answers, np.frombuffer(labels, np.int64), classes)


@lru_cache(maxsize=4)  # 13 MB for 1,600 images
def _resampled(groups: bytes, strata: bytes | None, seed: int) -> Resampled:
    kept = None if strata is None else np.frombuffer(strata, np.int64)
    return Resampled(np.frombuffer(groups, np.int64), seed=seed, strata=kept)
