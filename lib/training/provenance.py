"""Where a run comes from: commit, versions, device, data, seeds, wall time."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import pandas as pd
import torch
from torch import nn

from lib.data import ImageSet, leak_share
from lib.paths import ROOT
from lib.training import hardware
from lib.training.config import RunConfig

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "pandas", "pillow")


def commit() -> str:
    """The repository's commit, with '+changes' when files differ from it; 'unknown' outside a repository."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=10
        ).stdout.strip()

    try:
        head = git("rev-parse", "HEAD")
        return (head + "+changes" * bool(git("status", "--porcelain", "-uno"))) if head else "unknown"
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def versions() -> dict[str, str]:
    """The versions that decide results; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def provenance(
    config: RunConfig,
    images: ImageSet,
    parts: pd.Series,
    classes: Sequence[str],
    device: torch.device,
    seconds: float,
    model: nn.Module,
) -> dict:
    """The content of provenance.json; `classes` are those of the network's head."""
    return {
        "commit": commit(),
        "versions": versions(),
        "device": f"{device.type}: {hardware.device_name(device)}",
        "threads": torch.get_num_threads(),
        "precision": hardware.precision(config),
        "channels_last": hardware.channels_last_helps(config),
        "seed": config.seed,
        "split_seed": config.split_seed,
        "leaked_test_share": round(leak_share(images, parts), 4),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "train_seconds": round(seconds, 2),
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": images.name,
        "is_phantom": images.is_phantom,
        "data_fingerprint": images.fingerprint(),
        "images": len(images.rows),
        "classes": list(classes),
        "unreadable": list(images.unreadable),
    }
