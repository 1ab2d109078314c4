"""Where messages go: the console says what matters, `train.log` keeps everything, Lightning keeps quiet.

`training_metrics.log` has a line an epoch (EPOCH,1,…) and one a batch (BATCH,1,1,…), after a line of each kind that names the
columns: `grep EPOCH` makes a table of it.
"""

import contextlib
import inspect
import json
import logging
import math
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lib.data import EpochBatches, rows_of
from lib.data.shards import ShardSet
from lib.errors import WorkbookError, printable, warn_once
from lib.files import told, write_text
from lib.training.config import RunConfig
from lib.training.losses import LOSSES, LossNotFinite
from lib.training.training_data import DecodedImages, TrainingData

log = logging.getLogger(__name__)

METRICS_LOG = logging.getLogger("lib.training_metrics")  # for training_metrics.log
METRICS_LOG.propagate = False


@contextlib.contextmanager
def run_log(folder: Path) -> Iterator[None]:
    """Send the workbook's log to `folder`, which is made, (DEBUG) and to the console (INFO) while the run lasts."""
    root = logging.getLogger("lib")
    before = root.level
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(folder / "train.log", encoding="utf-8", errors="surrogateescape")
        metrics = _LogFile(folder / "training_metrics.log", encoding="utf-8", errors="surrogateescape")
    root.setLevel(logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    console = logging.StreamHandler()
    console.setFormatter(logging.Formatter("%(message)s"))
    console.setLevel(logging.INFO)
    root.addHandler(handler)
    root.addHandler(console)
    METRICS_LOG.addHandler(metrics)
    try:
        yield
    except WorkbookError as error:
        log.debug("stopped: %s", error)
        raise
    finally:
        root.removeHandler(handler)
        root.removeHandler(console)
        METRICS_LOG.removeHandler(metrics)
        with contextlib.suppress(OSError):
            handler.close()
        with contextlib.suppress(OSError):
            metrics.close()
        root.setLevel(before)


class _LogFile(logging.FileHandler):
    """Messages that a full disk has no room for are left out: nothing rests on them, and the training goes on."""

    def handleError(self, record: logging.LogRecord) -> None:
        warn_once(log, f"{self.baseFilename} cannot be written ({sys.exc_info()[1]}): messages are missing in it")


def tell_what_is_trained(
    config: RunConfig, model: nn.Module, classes: Sequence[str], training_data: TrainingData
) -> None:
    """Model, data, sampler and loss, with their values and sizes, in `train.log`."""
    parts = model.count_parameters()
    total = parts.pop("total")
    strategies = f", fusion {config.fusion_strategy}, residual {config.residual_strategy}"
    kind = config.attention + strategies * config.uses("fusion_strategy")
    log.debug(
        "model: %s with %s, %s parameters (%s)", config.backbone, kind, f"{total:,}", _pairs([*parts], parts.values())
    )
    images = training_data if isinstance(training_data, ShardSet) else training_data.images
    counts = images.counts if images is training_data else training_data.parts.value_counts()
    if hasattr(model, "started_from"):  # of `lib.weights.start_from`
        log.debug("weights: %s", model.started_from)
    log.debug("data: %s, %d classes, images by part: %s", images.name, len(classes), _pairs(counts.index, counts))
    if config.task == "classification" and not config.streams:
        _tell_class_counts(config, classes, training_data)
    values = inspect.signature(LOSSES[config.loss_type]).parameters
    known = {name: value for name, value in config.arguments("loss").items() if name in values}
    log.debug("loss: %s%s", config.loss_type, "".join(f", {name} {value}" for name, value in known.items()))


def _tell_class_counts(config: RunConfig, classes: Sequence[str], decoded: DecodedImages) -> None:
    """The training images of each class, and how many of each the sampler draws in the first epoch."""
    labels = decoded.images.rows["label"].to_numpy()[rows_of(decoded.parts, "train")]
    drawn = [row for batch in EpochBatches(labels, config.batch_size, config.sampler, config.seed) for row in batch]
    before, after = (np.bincount(of, minlength=len(classes)) for of in (labels, labels[drawn]))
    log.debug("classes before sampling: %s", _pairs(classes, before))
    log.debug("classes after sampling, sampler %s, first epoch: %s", config.sampler, _pairs(classes, after))


def _pairs(names: Sequence[str], numbers: Iterable[int]) -> str:
    return ", ".join(f"{printable(name)} {number:,}" for name, number in zip(names, numbers, strict=True))


@contextlib.contextmanager
def explain_out_of_memory(config: RunConfig) -> Iterator[None]:
    """A GPU's memory that does not suffice, told with what to do about it."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise WorkbookError(
            f"The GPU's memory does not suffice for {config.backbone} with batch_size={config.batch_size} at "
            f"image_size={config.image_size}: lower one of them, or use precision='bf16'."
        ) from error


@contextlib.contextmanager
def keep_not_finite(run: Path, training_data: TrainingData) -> Iterator[None]:
    """A loss that is no number leaves `nan_loss.json` in the folder `run`: the batch's images and what is known of the step."""
    try:
        yield
    except LossNotFinite as error:
        kept, facts = run / "nan_loss.json", {name: _json_number(value) for name, value in error.facts.items()}
        images = error.shown
        if isinstance(images, torch.Tensor):
            images = training_data.images.rows["image_id"].iloc[images.tolist()].tolist()
        write_text(kept, json.dumps({**facts, "images": images}, indent=1))
        raise WorkbookError(f"{error} The batch's images are named in {kept}.") from error


def _json_number(value: float | None) -> float | str | None:
    """JSON has neither NaN nor infinity."""
    return value if value is None or math.isfinite(value) else str(value)


@contextlib.contextmanager
def lightning_manners() -> Iterator[None]:
    """Lightning without its advertisements, and with Ctrl-C left as Python has it.

    On an interrupt Lightning ignores all further ones for good and ends the process with status 1; here it becomes a
    KeyboardInterrupt again, so that a notebook's kernel survives and a command line can tell. Its hint to start worker
    processes is wrong for pixels that are cached in memory.
    """
    logger, handler = logging.getLogger("pytorch_lightning"), signal.getsignal(signal.SIGINT)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
            warnings.filterwarnings("ignore", module="torchmetrics")
            yield
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    finally:
        logger.setLevel(level)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
