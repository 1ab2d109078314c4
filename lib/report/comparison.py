"""Tables that set runs side by side, with intervals, and the sentence that may be said about a difference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.errors import WorkbookValueError
from lib.training.metrics import Resampled, intervals
from lib.training.store import Run

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "macro_auroc": "macro AUROC",
    "ece": "expected calibration error",
}


def value_with_interval(run: Run, metric: str) -> str:
    """'0.612 [0.571, 0.650]' on the test split."""
    low, high = run.metrics["intervals"][metric]
    return f"{run.metrics['test'][metric]:.3f} [{low:.3f}, {high:.3f}]"


def test_table(runs: Mapping[str, Run]) -> pd.DataFrame:
    """The test metrics of runs in columns, each with its 95 % interval; with two runs also the paired difference."""
    table = pd.DataFrame(
        {name: [value_with_interval(run, m) for m in METRICS] for name, run in runs.items()},
        index=list(METRICS.values()),
    )
    if len(runs) == 2:
        first, second = runs
        differences = paired_differences(runs[first], runs[second])
        table[f"{first} − {second}"] = [
            f"{d:+.3f} [{low:+.3f}, {high:+.3f}]" for d, low, high in (differences[m] for m in METRICS)
        ]
    return table


def paired_differences(first: Run, second: Run) -> dict[str, tuple[float, float, float]]:
    """Difference of each test metric with its 95 % interval, both runs measured on the same resampled lesions.

    Raises:
        WorkbookValueError: the runs were tested on different images.
    """
    a, b = (run.predictions.sort_values("image_id") for run in (first, second))
    if list(a["image_id"]) != list(b["image_id"]):
        raise WorkbookValueError(
            f"{first.path.name} and {second.path.name} were tested on different images; they cannot be paired."
        )
    resampled = Resampled(a["group"], strata=a["label"])
    samples = []
    for run, table in ((first, a), (second, b)):
        labels = table["label"].map({c: i for i, c in enumerate(run.classes)}).to_numpy()
        samples.append(resampled.measure(table[[f"prob_{c}" for c in run.classes]].to_numpy(), labels, run.classes))
    spans = intervals({m: np.subtract(samples[0][m], samples[1][m]) for m in METRICS})
    return {m: (first.metrics["test"][m] - second.metrics["test"][m], *spans[m]) for m in METRICS}


def verdict(runs: Mapping[str, Run], metric: str = "balanced_accuracy") -> str:
    """One honest sentence on one run, or two of one seed each: what the interval says, and what it cannot say."""
    if len(runs) == 1:
        ((name, run),) = runs.items()
        return f"{name}: {METRICS[metric]} {value_with_interval(run, metric)}. One run alone supports no claim: compare it with others, over several seeds (`run_all.py sweep`)."
    (first, a), (second, b) = runs.items()
    difference, low, high = paired_differences(a, b)[metric]
    span = f"{100 * difference:+.1f} points of {METRICS[metric]} (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    limit = "The interval covers the choice of test lesions only: one seed of each cannot say whether another training would repeat it."
    if low > 0:
        return f"On these test images {first} is ahead of {second} by {span}. {limit}"
    if high < 0:
        return f"On these test images {first} is behind {second}: {span}. {limit}"
    return f"No difference between {first} and {second} is shown: {span}, which includes zero. {limit}"
