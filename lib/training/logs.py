"""Where messages go: the console says what matters, `train.log` keeps everything, Lightning keeps quiet.

Weights & Biases is off unless a project is named. Its key comes from the environment and is written nowhere.
"""

import contextlib
import json
import logging
import math
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from lib.errors import WorkbookError, warn_once
from lib.files import told, write_text
from lib.training.config import RunConfig
from lib.training.distributed import rank_of
from lib.training.losses import LossNotFinite
from lib.training.training_data import TrainingData

log = logging.getLogger(__name__)

ANSWER_S = 5.0  # without an answer from Weights & Biases, and a run is recorded offline
UPLOAD_S = 60.0  # that the end of a run waits for what it has not got yet


@contextlib.contextmanager
def run_log(path: Path) -> Iterator[None]:
    """Send the workbook's log to `path`, whose folder is made, (DEBUG) and to the console (INFO) while the run lasts."""
    root = logging.getLogger("lib")
    before = root.level
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, encoding="utf-8", errors="surrogateescape")
    root.setLevel(logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    console = logging.StreamHandler()
    console.setFormatter(logging.Formatter("%(message)s"))
    console.setLevel(logging.INFO)
    root.addHandler(handler)
    root.addHandler(console)
    try:
        yield
    except WorkbookError as error:
        log.debug("stopped: %s", error)
        raise
    finally:
        root.removeHandler(handler)
        root.removeHandler(console)
        with contextlib.suppress(OSError):
            handler.close()
        root.setLevel(before)


class _LogFile(logging.FileHandler):
    """Messages that a full disk has no room for are left out: nothing rests on them, and the training goes on."""

    def handleError(self, record: logging.LogRecord) -> None:
        warn_once(log, f"{self.baseFilename} cannot be written ({sys.exc_info()[1]}): messages are missing in it")


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


@contextlib.contextmanager
def tracking(config: RunConfig, folder: Path) -> Iterator[Any]:
    """Lightning's WandbLogger for one run, or False. Without WANDB_API_KEY, or without an answer from the server, it
    records offline, for `wandb sync`.

    Raises:
        WorkbookError: a project is named and wandb is not installed.
    """
    if config.wandb_project is None or rank_of(config):
        yield False
        return
    if find_spec("wandb") is None:
        raise WorkbookError(
            "wandb_project is set but wandb is not installed: pip install -e '.[wandb]', or leave wandb_project out."
        )
    import wandb

    try:
        yield _wandb_logger(config, folder)
    finally:
        wandb.finish()  # else the next run of this process would log into this one


def _wandb_logger(config: RunConfig, folder: Path) -> Any:
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    given = {"project": config.wandb_project, "name": config.wandb_name, "save_dir": folder, "config": config.to_dict()}
    if os.environ.get("WANDB_API_KEY"):
        try:
            _ask(wandb.setup().settings.base_url)
            logger = WandbLogger(**given, settings=wandb.Settings(init_timeout=ANSWER_S, finish_timeout=UPLOAD_S))
            _ = logger.experiment  # asks the server for the run
            return logger
        except (OSError, HTTPException, wandb.Error) as error:
            reason = " ".join(str(getattr(error, "reason", error)).split())
            log.warning(
                "Weights & Biases does not answer (%s): this run is recorded offline in %s, and `wandb sync` sends it later",
                reason,
                folder / "wandb",
            )
    else:
        log.info("WANDB_API_KEY is not set: Weights & Biases records offline in %s", folder / "wandb")
    return WandbLogger(**given, mode="offline")  # Lightning's `offline` would hold for all further runs of this process


def _ask(url: str) -> None:
    """Raise an OSError if nothing answers at `url`: wandb itself would go on asking for minutes."""
    try:
        urllib.request.urlopen(url, timeout=ANSWER_S).close()
    except urllib.error.HTTPError as answer:
        answer.close()  # a page that is not there is an answer, too
