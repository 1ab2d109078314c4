"""Weights & Biases, off unless a project is named. The key comes from the environment and is written nowhere."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lib.errors import WorkbookError
from lib.training.config import RunConfig
from lib.training.distributed import rank_of

log = logging.getLogger(__name__)


@contextlib.contextmanager
def tracking(config: RunConfig, folder: Path) -> Iterator[Any]:
    """Lightning's WandbLogger for one run, or False. Without WANDB_API_KEY it records offline, for `wandb sync`.

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
    from pytorch_lightning.loggers import WandbLogger

    offline = not os.environ.get("WANDB_API_KEY")
    if offline:
        log.info("WANDB_API_KEY is not set: Weights & Biases records offline in %s", folder / "wandb")
    name, settings = config.wandb_name, config.to_dict()
    try:
        yield WandbLogger(project=config.wandb_project, name=name, save_dir=folder, offline=offline, config=settings)
    finally:
        wandb.finish()  # else the next run of this process would log into this one
