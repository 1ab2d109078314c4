"""The store of runs as a table to sort, with the curves and confusion matrices of those that are chosen."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.errors import WorkbookError, WorkbookValueError
from lib.explain.views.view import View, plain
from lib.report.figures.forest import Interval, forest_figure
from lib.report.figures.style import figure, nothing
from lib.training import Run

MOST_CLASSES = 30  # of a confusion matrix
MOST_POINTS = 60_000  # numbers of all curves together
MOST_STILLS = 20  # runs in the static picture
HIDDEN = {"data_root", "device", "verbose", "wandb_project", "wandb_run"}  # settings that decide no result
CAPTION = "The store of runs: sort by a column, choose runs to see their curves and confusion matrices."


def browse_runs(runs: Iterable[Run], caption: str = CAPTION) -> View:
    """A view of `runs`, a `RunStore` for instance, finished or not, as they are now.

    Columns are the settings in which the runs differ and the test metrics with their 95 % intervals. Matrices of more
    than 30 classes are left out, and epochs of long logs are skipped evenly; the view tells so.

    Raises:
        WorkbookValueError: there are no runs.
    """
    rows = [_row(run) for run in runs]
    if not rows:
        raise WorkbookValueError("There are no runs to browse: train one with fit(config), or give another store.")
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    step = -(-sum(len(values) for row in rows for values in row["log"].values()) // MOST_POINTS) or 1
    for row in rows:
        row["log"] = {name: values[::step] for name, values in row["log"].items()}
    left_out = [f"Curves show one epoch of {step}."] * (step > 1)
    large = sum(row.pop("large") for row in rows)
    left_out += [f"Left out: confusion matrices of more than {MOST_CLASSES} classes ({large} runs)."] * bool(large)
    phantom = True in {row.pop("phantom") for row in rows}
    data = {"runs": rows, "settings": _telling(rows), "metrics": metrics}
    return View("run_browser", data, _still(rows, metrics, phantom), caption, left_out=left_out, phantom=phantom)


def _row(run: Run) -> dict[str, Any]:
    """What is known of a run; another process may be writing it just now."""
    row: dict[str, Any] = {"name": run.path.name, "state": "unfinished", "settings": {}, "metrics": {}, "intervals": {}}
    row |= {"log": {}, "confusion": None, "large": False, "phantom": False, "best": None}
    try:
        config = run.config
        row["settings"] = {k: v for k, v in config.to_dict().items() if k not in config.idle | HIDDEN}
        row["log"] = _log(run)
        if run.finished:
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


def _telling(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The settings in which runs differ, or where there is one run (or all are alike) its main ones."""
    names = list(dict.fromkeys(name for row in rows for name in row["settings"]))
    differ = [n for n in names if len({repr(row["settings"][n]) for row in rows if n in row["settings"]}) > 1]
    return differ or [name for name in ("dataset", "backbone", "attention", "seed") if name in names]


def _still(rows: Sequence[dict[str, Any]], metrics: Sequence[str], phantom: bool) -> Figure:
    """The first metric (balanced accuracy where there is one) of the finished runs, with intervals."""
    main = "balanced_accuracy" if "balanced_accuracy" in metrics else next(iter(metrics), "")
    tested = [row for row in rows if row["intervals"].get(main)]
    done = tested[:MOST_STILLS]
    if not done:
        with figure(8, 1.5, phantom) as fig:
            nothing(fig.subplots(), f"{len(rows)} runs, none with test results yet")
        return fig
    named = [" ".join(str(row["settings"].get(name, "")) for name in _telling(rows)) for row in done]
    labels = [plain(name.strip() or row["name"], 40) for name, row in zip(named, done, strict=True)]
    values = [(row["metrics"][main], *row["intervals"][main]) for row in done]
    intervals = [Interval(*value, note=f"{value[0]:.2f}") for value in values]
    shown = f" (the first {len(done)} of {len(tested)} runs)" if len(done) < len(tested) else ""
    title = f"Test, 95 % intervals{shown}"
    return forest_figure(labels, {"": intervals}, phantom, title=title, xlabel=main.replace("_", " "))
