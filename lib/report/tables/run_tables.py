"""Tables that set runs side by side, with intervals."""

from collections.abc import Mapping

import pandas as pd

from lib.statistics.estimates import Comparison, compare
from lib.statistics.metric_names import METRICS
from lib.training.config import RunConfig
from lib.training.store import Run


def recipe_text(config: RunConfig) -> str:
    """'toynet on digits: 2 epochs, 32×32 pixels, batch 32, AdamW, lr 0.001'"""
    height, width = config.size
    return (
        f"{config.backbone} on {config.dataset}: {config.max_epoch} epochs, {height}×{width} pixels, "
        f"batch {config.batch_size}, {config.optimizer}, lr {config.lr:g}"
    )


def provenance_text(run: Run) -> str:
    """'599 images of digits; cpu: …, 32-true; torch 2.9.1; commit `0123456789ab`.', in Markdown."""
    facts = run.provenance
    return (
        f"{facts['images']:,} images of {facts['data']}; {facts['device']}, {facts['precision']}; "
        f"torch {facts['versions']['torch']}; commit `{facts['commit'][:12]}`."
    )


def value_with_interval(run: Run, metric: str) -> str:
    """'0.612 [0.571, 0.650]' on the test split."""
    low, high = run.metrics["intervals"][metric]
    return f"{run.metrics['test'][metric]:.3f} [{low:.3f}, {high:.3f}]"


def test_table(runs: Mapping[str, Run]) -> pd.DataFrame:
    """The test metrics of runs in columns, each with its 95 % interval; with two runs also the paired difference.

    Raises:
        WorkbookValueError: two runs that were tested on different images.
    """
    table = pd.DataFrame(
        {name: [value_with_interval(run, metric) for metric in METRICS] for name, run in runs.items()},
        index=list(METRICS.values()),
    )
    if len(runs) == 2:
        (first, a), (second, b) = runs.items()
        table[f"{first} − {second}"] = [_difference(compare([a], [b], metric)) for metric in METRICS]
    return table


def _difference(comparison: Comparison) -> str:
    return f"{comparison.difference:+.3f} [{comparison.low:+.3f}, {comparison.high:+.3f}]"
