"""Trained networks with a part of them taken away, on the same test images: what they lose by it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from torch import nn

from lib import hardware
from lib.evaluation.test_images import TestImages
from lib.lesa.layer import TERMS, without
from lib.statistics.estimates import Comparison, compare
from lib.statistics.resampling import Tested
from lib.training.metrics import measure
from lib.training.store import Run
from lib.training.testing import predictions_frame


@dataclass(frozen=True)
class AblatedAnswers:
    """What a network without a part of it answers on test images; reads as the `Run` that trained it does."""

    predictions: pd.DataFrame
    classes: tuple[str, ...]
    metrics: dict


def ablated_answers(model: nn.Module, images: TestImages) -> AblatedAnswers:
    """What `model`, trained by `images.config`, answers with what is left of it."""
    probabilities = images.probabilities(model.to(hardware.device(images.config.device)))
    frame = predictions_frame(images.images.rows, images.labels, probabilities, images.classes)
    return AblatedAnswers(frame, images.classes, {"test": measure(probabilities, images.labels, images.classes)})


def compare_ablated(ablated: Sequence[Tested], whole: Sequence[Tested], metric: str) -> Comparison:
    """Ablated networks minus the same networks whole, seed by seed in the same order, on the same test images.

    With one seed the interval covers the test images, and speaks of this network alone.

    Raises:
        WorkbookValueError: no runs, runs tested on different images, or an unknown metric.
    """
    return compare(ablated, whole, metric, same_networks=True)


def compare_without(runs: Sequence[Run], images: TestImages, metrics: Iterable[str]) -> dict[str, list[Comparison]]:
    """`compare_ablated` for each of `metrics`, by the term of LESA that is switched off in the networks of `runs`, one a
    seed."""
    lost = {}
    for term in TERMS:
        ablated = []
        for run in runs:
            with without(run.model(), term) as network:
                ablated.append(ablated_answers(network, images))
        lost[term] = [compare_ablated(ablated, runs, metric) for metric in metrics]
    return lost
