"""`fit(config)`: a finished run is returned at once, an interrupted one resumed, a missing one trained."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout

from lib.data import ImageSet, load_dataset, load_pixels, rows_of, split_rows
from lib.errors import WorkbookError
from lib.files import write_text
from lib.training import hardware
from lib.training.config import RunConfig
from lib.training.inference import EVALUATION_BATCH, predict_rows
from lib.training.logs import run_log
from lib.training.metrics import Resampled, intervals, measure
from lib.training.provenance import provenance
from lib.training.store import Run, RunStore, build_model

log = logging.getLogger(__name__)


def fit(config: RunConfig, store: RunStore | str | Path | None = None) -> Run:
    """Train, test and keep the run of `config`; what is there already is not computed again.

    A finished run is taken as it is, without a look at the data: remove its folder after changing them.

    Raises:
        WorkbookError: anything wrong with the data, the settings or the disk; the run can be resumed afterwards.
    """
    store = store if isinstance(store, RunStore) else RunStore(store)
    run = store.run(config)
    if run.finished:
        log.debug("%s is finished already", run.path.name)
        return run
    from lib.training.trainer import train  # Lightning takes seconds to import, and finished runs do not need it

    device = hardware.device(config.device)  # a missing GPU is found before any work
    images, pixels, parts = prepare(config, store)
    torch.manual_seed(config.seed)
    model = build_model(config, len(images.classes))
    run.path.mkdir(parents=True, exist_ok=True)
    with _alone(run), run_log(run.path / "train.log"):
        if run.finished:
            return Run(run.path)
        log.info("run %s", run.path.name)
        log.debug("config %s", json.dumps(config.to_dict()))
        log.debug("%s: %s", images.name, images.counts.to_dict())
        write_text(run.path / "config.json", json.dumps(config.to_dict(), indent=1))
        began = time.monotonic()
        seconds = train(config, run, model, images, pixels, parts)
        _test(run, images, pixels, parts, provenance(config, images, parts, device, seconds, model), device)
        log.info(
            "finished after %.0f s: test balanced accuracy %.3f",
            time.monotonic() - began,
            run.metrics["test"]["balanced_accuracy"],
        )
    return Run(run.path)


@contextlib.contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Hold the run's folder: a second process that wants the same run waits, and then finds it finished."""
    lock = FileLock(run.path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("another process is training %s; waiting for it", run.path.name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def prepare(config: RunConfig, store: RunStore) -> tuple[ImageSet, np.ndarray, pd.Series]:
    """The data of a run: the image set, its pixels [n, size, size, 3] and the part of each row."""
    images = load_dataset(config.dataset, config.data_root, config.limit_images, config.skip_unreadable)
    images, pixels = load_pixels(images, config.image_size, store.root.parent / "cache", config.skip_unreadable)
    parts = split_rows(images, config.split, config.val_fraction, config.test_fraction, config.split_seed)
    return images, pixels, parts


def _test(run: Run, images: ImageSet, pixels: np.ndarray, parts: pd.Series, facts: dict, device: torch.device) -> None:
    """Predict the test split once with the best weights, write predictions and metrics; `metrics.json` comes last."""
    write_text(run.path / "provenance.json", json.dumps(facts, indent=1))
    rows = rows_of(parts, "test")
    table, labels = images.rows.iloc[rows], images.rows["label"].to_numpy()[rows]
    found = predict_rows(run.model(), pixels, rows, EVALUATION_BATCH, device)
    if not math.isfinite(found.sum()):
        raise WorkbookError(f"The best weights of {run.path.name} give probabilities that are not numbers; lower lr.")
    names = np.array(images.classes)
    frame = pd.DataFrame(
        {
            "image_id": table["image_id"],
            "group": table["group"],
            "label": names[labels],
            "prediction": names[found.argmax(axis=1)],
        }
    ).assign(**{f"prob_{c}": found[:, i] for i, c in enumerate(images.classes)})
    write_text(run.path / "predictions.csv", frame.to_csv(index=False, float_format="%.7g"))
    test = measure(found, labels, images.classes)
    samples = Resampled(frame["group"]).measure(found, labels, images.classes)
    result = {"best_epoch": _best_epoch(run.log), "test": test, "intervals": intervals(samples)}
    write_text(run.path / "metrics.json", json.dumps(result, indent=1))


def _best_epoch(log_table: pd.DataFrame) -> int:
    return int(log_table["epoch"][log_table["val_balanced_accuracy"].idxmax()])
