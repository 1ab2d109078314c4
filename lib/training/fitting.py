"""`fit(config)`: a finished run is returned at once, an interrupted one resumed, a missing one trained."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from lib.data import EpochBatches, ImageSet, load_dataset, load_pixels, split_rows
from lib.errors import WorkbookError
from lib.training import hardware
from lib.training.config import RunConfig
from lib.training.inference import predict_rows
from lib.training.logs import lightning_manners, run_log
from lib.training.metrics import Resampled, intervals, measure
from lib.training.module import Classifier
from lib.training.provenance import provenance
from lib.training.recorder import BatchProgress, Recorder
from lib.training.store import Run, RunStore, build_model, write_text
from lib.training.tracking import build_logger

log = logging.getLogger(__name__)

EVALUATION_BATCH = 256


class Batches(Dataset):
    """Rows of a pixel array, a whole batch at a time: indexing with a list is one copy."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> None:
        self.pixels, self.labels, self.rows = pixels, labels, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.rows[positions]
        return torch.from_numpy(self.pixels[rows]), torch.from_numpy(self.labels[rows])


def fit(config: RunConfig, store: RunStore | str | Path | None = None) -> Run:
    """Train, test and keep the run of `config`; what is there already is not computed again.

    Raises:
        WorkbookError: anything wrong with the data, the settings or the disk; the run can be resumed afterwards.
    """
    store = store if isinstance(store, RunStore) else RunStore(store)
    run = store.run(config)
    if run.finished:
        log.debug("%s is finished already", run.path.name)
        return run
    device = hardware.device(config.device)  # a missing GPU is found before any work
    images, pixels, parts = prepare(config, store)
    torch.manual_seed(config.seed)
    model = build_model(config, len(images.classes))
    run.path.mkdir(parents=True, exist_ok=True)
    with run_log(run.path / "train.log"):
        log.info("run %s", run.path.name)
        log.debug("config %s", json.dumps(config.to_dict()))
        log.debug("%s: %s", images.name, images.counts.to_dict())
        write_text(run.path / "config.json", json.dumps(config.to_dict(), indent=1))
        began = time.monotonic()
        seconds = _train(config, run, model, images, pixels, parts)
        _test(run, images, pixels, parts, provenance(config, images, device, seconds, model), device)
        log.info(
            "finished after %.0f s: test balanced accuracy %.3f",
            time.monotonic() - began,
            run.metrics["test"]["balanced_accuracy"],
        )
    return Run(run.path)


def prepare(config: RunConfig, store: RunStore) -> tuple[ImageSet, np.ndarray, pd.Series]:
    """The data of a run: the image set, its pixels [n, size, size, 3] and the part of each row."""
    images = load_dataset(config.dataset, config.data_root, config.limit_images, config.skip_unreadable)
    images, pixels = load_pixels(images, config.image_size, store.root.parent / "cache", config.skip_unreadable)
    parts = split_rows(images, config.split, config.val_fraction, config.test_fraction, config.split_seed)
    return images, pixels, parts


def rows_of(parts: pd.Series, part: str) -> np.ndarray:
    """Row numbers of one part of the split."""
    return np.flatnonzero(parts.to_numpy() == part)


def _train(
    config: RunConfig, run: Run, model: torch.nn.Module, images: ImageSet, pixels: np.ndarray, parts: pd.Series
) -> float:
    """Train up to the last epoch, from `last.ckpt` if there is one; returns the seconds that it took in all."""
    labels = images.rows["label"].to_numpy(dtype=np.int64)
    train, val = rows_of(parts, "train"), rows_of(parts, "val")
    counts = np.bincount(labels[train], minlength=len(images.classes)).tolist()
    recorder = Recorder(run.path, config.early_stopping_patience)
    checkpoint = _resume_from(run.path / "last.ckpt", recorder)
    if recorder.finished:
        return recorder.seconds
    module = Classifier(config, model, images.classes, counts)
    if hardware.channels_last_helps(config):
        module.model.to(memory_format=torch.channels_last)
    batches = EpochBatches(labels[train], config.batch_size, config.sampler, config.seed)
    batches.set_epoch(len(recorder.rows))  # Lightning does so too, but only after a resumed run's first batch is drawn
    in_order = [list(range(i, min(i + EVALUATION_BATCH, len(val)))) for i in range(0, len(val), EVALUATION_BATCH)]
    with lightning_manners():
        trainer = _trainer(config, run, recorder)
        trainer.fit(
            module,
            _loader(Batches(pixels, labels, train), batches),
            _loader(Batches(pixels, labels, val), in_order),
            ckpt_path=checkpoint,
            weights_only=False,
        )
    return recorder.seconds


def _loader(data: Batches, batches: Iterable[list[int]]) -> DataLoader:
    # With a generator of its own a loader draws nothing from the global one, which belongs to the model and the
    # augmentation: a resumed run makes its loaders at another moment than an uninterrupted one.
    return DataLoader(data, sampler=batches, batch_size=None, generator=torch.Generator())


def _trainer(config: RunConfig, run: Run, recorder: Recorder) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=config.max_epoch,
        accelerator=hardware.device(config.device).type,
        devices=1,
        precision=hardware.precision(config),
        deterministic="warn",
        callbacks=[BatchProgress(f"{config.backbone} {config.attention}", config.verbose), recorder],
        logger=build_logger(config, run.path),
        default_root_dir=run.path,
        num_sanity_val_steps=0,
        log_every_n_steps=10**9,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=True,
    )


def _resume_from(path: Path, recorder: Recorder) -> str | None:
    """The checkpoint to go on from; a damaged one is named, set aside, and training starts over."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # torch raises half a dozen types on damaged files
        log.warning("%s cannot be read (%s); starting from the first epoch", path, error)
        path.unlink()
        return None
    recorder.load_state_dict(state["callbacks"][recorder.state_key])
    log.info("resuming after epoch %d", len(recorder.rows))
    return str(path)


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
