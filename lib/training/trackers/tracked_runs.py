"""A finished run as trackers are told of it, and the runs of a store in the form in which Weights & Biases lists its own.

::

    runs = tracked_runs("outputs/runs")  # in place of wandb.Api().runs("entity/project"): name, state, config, summary
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lib.training.build_model import build_structure, count_macs
from lib.training.config import RunConfig
from lib.training.store import Run, RunStore


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker knows of a run; the attributes are those of `wandb.Api().run`."""

    name: str
    state: str  # "finished" or "running"
    config: Mapping[str, Any]
    summary: Mapping[str, float]


def tracked_runs(store: RunStore | str | Path | None = None) -> list[TrackedRun]:
    """Every run of a store, finished or not, with what a tracker would have been told of it."""
    store = store if isinstance(store, RunStore) else RunStore(store)
    return [_tracked(run) for run in store]


def _tracked(run: Run) -> TrackedRun:
    state = "finished" if run.sound else "running"
    summary = summary_of(run) | {"_runtime": run.provenance["train_seconds"]} if run.sound else {}
    return TrackedRun(run.config.wandb_name, state, settings_of(run.config), summary)


def settings_of(config: RunConfig) -> dict[str, Any]:
    """Every setting, and the name of the run's folder."""
    return {**config.to_dict(), "run": config.name}


def summary_of(run: Run) -> dict[str, float]:
    """The best epoch's line of the log, and beside it what is known of a finished run (see `facts_of`)."""
    return best_epoch_of(run) | facts_of(run)


def best_epoch_of(run: Run) -> dict[str, float]:
    """The log's line of the best epoch by validation; of a refit, which has no validation, the last."""
    log = run.log
    return numbers(log[log["epoch"] == run.metrics["best_epoch"]].iloc[0])


def facts_of(run: Run) -> dict[str, float]:
    """`total_parameters` and `parameters_<part>`, `macs` of one image, `best_epoch`, `train_seconds`, `test_<metric>` with
    the ends of its interval, `test_<metric>_low` and `_high`. The recall of each class is among the metrics."""
    metrics, classes = run.metrics, len(run.classes)
    parts = build_structure(run.config, classes).count_parameters()
    facts = {"total_parameters": parts.pop("total"), **{f"parameters_{part}": n for part, n in parts.items()}}
    facts |= {"macs": count_macs(run.config, classes), "best_epoch": metrics["best_epoch"]}
    facts |= {"train_seconds": run.provenance["train_seconds"]}
    for name, value in metrics["test"].items():
        low, high = metrics["intervals"][name]
        facts |= {f"test_{name}": value, f"test_{name}_low": low, f"test_{name}_high": high}
    return numbers(facts)


def numbers(row: Mapping[str, float] | pd.Series) -> dict[str, float]:
    """Without what is no number: what no image tells is told to nobody."""
    return {str(name): value for name, value in row.items() if math.isfinite(value)}
