"""What the run browser knows of each run of a store: read, and read again when the run has changed."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd

from lib.errors import WorkbookError, choose
from lib.inputs import state
from lib.training import Run, RunStore

FILES = ("config.json", "training_log.csv", "metrics.json")  # by which a run changes
MOST_CLASSES = 30  # of a confusion matrix
MOST_POINTS = 60_000  # numbers of all curves together
HIDDEN = {"data_root", "device", "verbose", "wandb_project", "wandb_run"}  # settings that decide no result


class FollowedRuns:
    """The rows of runs, each read again when its files have changed; `version` counts the looks that saw a change."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs = runs if isinstance(runs, RunStore) else [*runs]
        self.version = 0
        self._rows: dict[Path, tuple[tuple, int, dict[str, Any]]] = {}  # files as they were, version of the change, row
        self._lock = Lock()  # the views' thread looks, and the kernel's when it saves

    def find(self, name: str) -> Run:
        """The run called `name`; a WorkbookValueError where it has gone."""
        runs = {run.path.name: run for run in self.runs}
        return runs[choose("run", name, runs)]

    def look(self) -> list[dict[str, Any]]:
        """The rows as they are now."""
        with self._lock:
            self.version += self._read_again()
            return [row for _, _, row in self._rows.values()]

    def _read_again(self) -> bool:
        rows = {}
        for path in dict.fromkeys(run.path for run in self.runs):
            files = tuple(state(path / name) for name in FILES)
            known = self._rows.get(path)
            if known is None or known[0] != files:
                key = known[2]["key"] if known else f"{self.version}-{len(rows)}"
                known = files, self.version + 1, {"key": key, **_row(Run(path))}
            rows[path] = known
        before, self._rows = self._rows, rows
        return rows != before

    def since(self, version: int) -> dict[str, Any]:
        """What the script has to know that has seen `version`; with 0 all of it."""
        rows = self.look()
        step = -(-sum(len(values) for row in rows for values in row["log"].values()) // MOST_POINTS) or 1
        news = [row for _, changed, row in list(self._rows.values()) if changed > version]
        return {
            "version": self.version,
            "keys": [row["key"] for row in rows],
            "runs": [row | {"log": {name: values[::step] for name, values in row["log"].items()}} for row in news],
            "settings": telling(rows),
            "metrics": _metrics(rows),
            "step": step,
        }


def _row(run: Run) -> dict[str, Any]:
    """What is known of a run; another process may be writing it just now."""
    row: dict[str, Any] = {
        "path": run.shown_path,
        "name": run.path.name,
        "state": "unfinished",
        "settings": {},
        "metrics": {},
        "intervals": {},
    }
    row |= {"log": {}, "confusion": None, "large": False, "phantom": False, "best": None}
    try:
        config = run.config
        row["settings"] = {k: v for k, v in config.to_dict().items() if k not in config.idle | HIDDEN}
        row["log"] = _log(run)
        if run.finished:
            run.refuse_damaged()
            _add_results(row, run)
    except (WorkbookError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        row["state"] = "unreadable" if run.finished or not row["settings"] else row["state"]
        row["problem"] = str(error)
    return row


def _add_results(row: dict[str, Any], run: Run) -> None:
    metrics = run.metrics
    numbers = {k: v for k, v in metrics["test"].items() if isinstance(v, int | float) and not k.startswith("recall_")}
    row["metrics"] = {name: _number(value) for name, value in numbers.items()}
    intervals = metrics.get("intervals", {})
    row["intervals"] = {name: [_number(v) for v in intervals[name]] for name in numbers if name in intervals}
    row |= {"state": "finished", "best": metrics.get("best_epoch"), "phantom": run.provenance.get("is_phantom", False)}
    if run.config.task == "reid" or not numbers:
        return
    if len(run.classes) > MOST_CLASSES:
        row["large"] = True
        return
    k = len(run.classes)
    counts = np.bincount(run.labels * k + run.probabilities.argmax(axis=1), minlength=k * k).reshape(k, k)
    row["confusion"] = {"classes": list(run.classes), "counts": counts.tolist()}


def _log(run: Run) -> dict[str, list[float | None]]:
    """The columns of training_log.csv but the recalls of classes; none before the first epoch."""
    if not (run.path / "training_log.csv").exists():
        return {}
    names = [name for name in run.log.columns if "_recall_" not in name]
    return {name: [_number(value) for value in run.log[name]] for name in names}


def _number(value: object) -> float | None:
    """Four digits of a finite number; JSON knows no others."""
    try:
        value = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _metrics(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The metrics that any run was tested with."""
    return list(dict.fromkeys(name for row in rows for name in row["metrics"]))


def telling(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The settings in which runs differ, or where there is one run (or all are alike) its main ones."""
    names = list(dict.fromkeys(name for row in rows for name in row["settings"]))
    differ = [n for n in names if len({repr(row["settings"][n]) for row in rows if n in row["settings"]}) > 1]
    return differ or [name for name in ("dataset", "backbone", "attention", "seed") if name in names]
