"""Trained networks with a part of them taken away, on the same test images: what they lose by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn

from lib import hardware
from lib.data import rows_of
from lib.statistics.estimates import Comparison, compare
from lib.statistics.resampling import Tested
from lib.training.evaluate import predictions_frame
from lib.training.inference import augmentation_of, evaluation_batch, predict_rows
from lib.training.metrics import measure
from lib.training.store import Run
from lib.training.training_data import Prepared


@dataclass(frozen=True)
class Changed:
    """What a changed network answers on the test part of the run that trained it; reads as that `Run` does."""

    predictions: pd.DataFrame
    classes: tuple[str, ...]
    metrics: dict


def answers_of(model: nn.Module, run: Run, prepared: Prepared) -> Changed:
    """Ask `model`, the network of `run` or a changed one, about the test images that `lib.training.prepare` gives for it."""
    images, pixels, parts = prepared
    rows = rows_of(parts, "test")
    table, labels = images.rows.iloc[rows], images.rows["label"].to_numpy()[rows]
    device, seen = hardware.device(run.config.device), augmentation_of(run.config)
    found = predict_rows(model, pixels, rows, evaluation_batch(run.config), device, seen)
    frame = predictions_frame(table, labels, found, run.classes)
    return Changed(frame, run.classes, {"test": measure(np.asarray(found), labels, run.classes)})


def change(changed: Sequence[Tested], whole: Sequence[Tested], metric: str) -> Comparison:
    """Changed networks minus the same networks whole, seed by seed in the same order, on the same test images.

    With one seed the interval covers the test images, and speaks of this network alone.

    Raises:
        WorkbookValueError: no runs, runs tested on different images, or an unknown metric.
    """
    return compare(changed, whole, metric, same_networks=True)
