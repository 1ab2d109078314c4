"""Tables that set runs side by side, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from torch import nn

from lib.progress import duration
from lib.report.tables.cells import minus
from lib.statistics.estimates import Comparison, compare
from lib.statistics.metric_names import METRICS
from lib.training.config import RunConfig
from lib.training.settings import ADDED
from lib.training.store import Run

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler


def recipe_text(config: RunConfig) -> str:
    """'toynet on digits: 2 epochs, 32×32 pixels, batch 32, AdamW, lr 0.001', and what is added to the recipe."""
    height, width = config.size
    recipe = (
        f"{config.backbone} on {config.dataset}: {config.max_epoch} epochs, {height}×{width} pixels, "
        f"batch {config.batch_size}, {config.optimizer}, lr {config.lr:g}"
    )
    added = (f"{name} {getattr(config, name)}" for name in ADDED if config.uses(name))
    return ", ".join([recipe, *added])


def provenance_text(run: Run) -> str:
    """'599 images of digits; cpu: …, 32-true; torch 2.9.1; commit `0123456789ab`.', in Markdown."""
    facts = run.provenance
    return (
        f"{facts['images']:,} images of {facts['data']}; {facts['device']}, {facts['precision']}; "
        f"torch {facts['versions']['torch']}; commit `{facts['commit'][:12]}`."
    )


def training_facts(runs: Mapping[str, Run]) -> str:
    """`provenance_text` of the first run, and how long the training of each took, in Markdown."""
    first, *_ = runs.values()
    times = ", ".join(f"{name} {duration(run.provenance['train_seconds'])}" for name, run in runs.items())
    return f"{provenance_text(first)} Training took: {times}."


def model_card(model: nn.Module) -> Styler:
    """The parameters of a network by part, with their shares."""
    parts = pd.Series(model.count_parameters(), name="parameters")
    share = (parts / parts["total"]).map("{:.1%}".format)
    table = pd.DataFrame({"parameters": parts.map("{:,}".format), "share": share})
    return table.style.set_caption("Parameters by part")


def key_figures_of_runs(runs: Mapping[str, Run]) -> dict[str, str]:
    """Of one run or two: balanced accuracy, of two also the paired difference, the first one's AUROC, parameters."""
    first, *_ = runs
    figures = {
        f"balanced accuracy, {name}": value_with_interval(run, "balanced_accuracy") for name, run in runs.items()
    }
    if len(runs) == 2:
        a, b = runs.values()
        figures["difference"] = _difference(compare([a], [b], "balanced_accuracy"))
    figures[f"macro AUROC, {first}"] = value_with_interval(runs[first], "macro_auroc")
    figures["parameters"] = ", ".join(f"{name} {run.provenance['parameters']:,}" for name, run in runs.items())
    return figures


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
    return minus(f"{comparison.difference:+.3f} [{comparison.low:+.3f}, {comparison.high:+.3f}]")
