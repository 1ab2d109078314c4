"""`fit(config)`: a finished run is returned at once, an interrupted one resumed, a missing or outdated one trained."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lib.claims import Claim
from lib.data import ImageSet, load_dataset, load_pixels, rows_of, split_rows
from lib.errors import WorkbookError, WorkbookFileError
from lib.files import write_text
from lib.progress import duration
from lib.training import hardware
from lib.training.code import code_of
from lib.training.config import RunConfig
from lib.training.inference import EVALUATION_BATCH, predict_rows
from lib.training.logs import run_log
from lib.training.metrics import Resampled, intervals, measure
from lib.training.provenance import provenance
from lib.training.store import Run, RunStore, build_model

log = logging.getLogger(__name__)

Prepared = tuple[ImageSet, np.ndarray, pd.Series]  # images, pixels [n, size, size, 3], part of each row


def fit(config: RunConfig, store: RunStore | str | Path | None = None) -> Run:
    """Train, test and keep the run of `config`; what is there already is not computed again.

    A run that was begun with other data or other code is set aside (in `superseded/`) and trained anew. Where the data
    cannot be read, a finished run is taken as it is.

    Raises:
        WorkbookError: anything wrong with the data, the settings or the disk; the run can be resumed afterwards.
    """
    store = store if isinstance(store, RunStore) else RunStore(store)
    run = store.run(config)
    try:
        images = _load(config)
    except WorkbookFileError:
        if run.finished:
            log.warning("%s is taken as it is: its data are not here to be compared", run.path.name)
            return run
        raise
    basis = {"data": images.fingerprint(), **code_of(config, len(images.classes))}
    if run.finished and run.basis == basis:
        return run
    device = hardware.device(config.device)  # a missing GPU is found before any work
    prepared = _pixels_and_parts(config, store, images)  # so are images that cannot be read
    with _alone(run) as claim:
        if not (run.finished and run.basis == basis):  # another process may have been at it
            _set_aside(run, basis)
            _train_and_test(config, run, prepared, basis, device, claim)
    return Run(run.path)


def _train_and_test(
    config: RunConfig, run: Run, prepared: Prepared, basis: dict, device: torch.device, claim: Claim
) -> None:
    from lib.training.trainer import train  # Lightning takes seconds to import, and finished runs do not need it

    images, pixels, parts = prepared
    run.path.mkdir(parents=True, exist_ok=True)
    with run_log(run.path / "train.log"):
        log.info("run %s", run.path.name)
        log.debug("config %s", json.dumps(config.to_dict()))
        log.debug("%s: %s", images.name, images.counts.to_dict())
        torch.manual_seed(config.seed)
        model = build_model(config, len(images.classes))
        write_text(run.path / "config.json", json.dumps(config.to_dict(), indent=1))
        write_text(run.path / "basis.json", json.dumps(basis, indent=1))
        began = time.monotonic()
        seconds = train(config, run, model, images, pixels, parts, claim.check)
        _test(run, images, pixels, parts, provenance(config, images, parts, device, seconds, model), device)
        log.info(
            "finished after %s: test balanced accuracy %.3f",
            duration(time.monotonic() - began),
            run.metrics["test"]["balanced_accuracy"],
        )


@contextlib.contextmanager
def _alone(run: Run) -> Iterator[Claim]:
    """Claim the run: another process that wants the same one waits, and then finds it finished."""
    claim = Claim(run.path.parent / ".claims" / run.path.name)
    claim.wait(lambda owner: log.warning("%s is being trained by %s; waiting for it", run.path.name, owner))
    try:
        yield claim
    finally:
        claim.release()


def _set_aside(run: Run, basis: dict) -> None:
    """Move a run that was begun on another basis out of the way; nothing of it is lost."""
    changed = [name for name, value in basis.items() if run.basis.get(name) != value]
    if not (run.path.exists() and changed):
        return
    shelf = run.path.parent / "superseded"
    shelf.mkdir(exist_ok=True)
    place = next(p for n in itertools.count(1) if not (p := shelf / f"{run.path.name}-{n}").exists())
    log.warning(
        "%s was begun with other %s: training it again, the old one is in %s", run.path.name, ", ".join(changed), place
    )
    run.path.rename(place)


def prepare(config: RunConfig, store: RunStore) -> Prepared:
    """The data of a run: the image set, its pixels [n, size, size, 3] and the part of each row."""
    return _pixels_and_parts(config, store, _load(config))


def _load(config: RunConfig) -> ImageSet:
    return load_dataset(config.dataset, config.data_root, config.limit_images, config.skip_unreadable)


def _pixels_and_parts(config: RunConfig, store: RunStore, images: ImageSet) -> Prepared:
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
    frame = predictions_frame(table, labels, found, images.classes)
    write_text(run.path / "predictions.csv", frame.to_csv(index=False, float_format="%.7g"))
    test = measure(found, labels, images.classes)
    samples = Resampled(frame["group"]).measure(found, labels, images.classes)
    result = {"best_epoch": _best_epoch(run.log), "test": test, "intervals": intervals(samples)}
    write_text(run.path / "metrics.json", json.dumps(result, indent=1))


def predictions_frame(
    table: pd.DataFrame, labels: np.ndarray, found: np.ndarray, classes: Sequence[str]
) -> pd.DataFrame:
    """predictions.csv: a row an image of `table`, with its label (index) and probabilities [N, K] by name."""
    names = np.array(classes)
    columns = {
        "image_id": table["image_id"],
        "group": table["group"],
        "label": names[labels],
        "prediction": names[found.argmax(axis=1)],
    }
    return pd.DataFrame(columns).assign(**{f"prob_{c}": found[:, i] for i, c in enumerate(classes)})


def _best_epoch(log_table: pd.DataFrame) -> int:
    return int(log_table["epoch"][log_table["val_balanced_accuracy"].idxmax()])
