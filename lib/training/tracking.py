"""Weights & Biases, off unless a project is named. The key comes from the environment and is written nowhere."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lib.errors import WorkbookError
from lib.training.config import RunConfig

log = logging.getLogger(__name__)


def build_logger(config: RunConfig, folder: Path) -> Any:
    """Lightning's WandbLogger, or False. Without WANDB_API_KEY it records offline, to be sent with `wandb sync`.

    Raises:
        WorkbookError: a project is named and wandb is not installed.
    """
    if config.wandb_project is None:
        return False
    if find_spec("wandb") is None:
        raise WorkbookError(
            "wandb_project is set but wandb is not installed: pip install -e '.[wandb]', or leave wandb_project out."
        )
    from pytorch_lightning.loggers import WandbLogger

    offline = not os.environ.get("WANDB_API_KEY")
    if offline:
        log.info("WANDB_API_KEY is not set: Weights & Biases records offline in %s", folder / "wandb")
    return WandbLogger(
        project=config.wandb_project, name=config.wandb_name, save_dir=folder, offline=offline, config=config.to_dict()
    )
