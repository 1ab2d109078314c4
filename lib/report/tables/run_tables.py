"""Tables that set runs side by side, with intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.errors import WorkbookValueError
from lib.statistics.metric_names import METRICS
from lib.training.metrics import Resampled, intervals
from lib.training.store import Run


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
