"""Where a run comes from: commit, versions, device, data, seeds, wall time."""

import dataclasses
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import nn

from lib import hardware
from lib.data import leak_share
from lib.data.shards import ShardSet
from lib.training.config import RunConfig
from lib.training.training_data import DecodedImages, TrainingData
from lib.version import commit

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "pandas", "pillow")


@cache  # of this process: what is installed while it runs is not what it has loaded
def versions() -> dict[str, str]:
    """The versions that decide results; a package that is not installed is left out."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def provenance(
    config: RunConfig,
    training_data: TrainingData,
    classes: Sequence[str],
    device: torch.device,
    seconds: float,
    model: nn.Module,
    threads: Sequence[int],
) -> dict:
    """The content of provenance.json; `classes` are those of the network's head, `threads` as many as it was trained with,
    one after the other."""
    return {
        "commit": commit(),
        "versions": versions(),
        "device": f"{device.type}: {hardware.device_name(device)}",
        "threads": list(threads),
        "precision": hardware.lightning_precision(config.precision, device),
        "channels_last": hardware.channels_last_helps(config.precision, device),
        "processes": config.processes,
        "seed": config.seed,
        "split_seed": config.split_seed,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "train_seconds": round(seconds, 2),
        "parameters": sum(p.numel() for p in model.parameters()),
        "classes": list(classes),
        **(_of_shards if isinstance(training_data, ShardSet) else _of_images)(training_data),
    }


def _of_images(decoded: DecodedImages) -> dict:
    images, _, parts = decoded
    return {
        "data": images.name,
        "is_phantom": images.is_phantom,
        "data_fingerprint": images.fingerprint(),
        "images": len(images.rows),
        "leaked_test_share": round(leak_share(images, parts), 4),
        "unreadable": list(images.unreadable),
    }


def _of_shards(shards: ShardSet) -> dict:
    return {
        "data": shards.name,
        "is_phantom": False,
        "data_fingerprint": shards.fingerprint(),
        "images": int(shards.counts.sum()),
        "leaked_test_share": 0.0,  # every image counts as independent of the others
        "tested_on": shards.test_part,
        "shards": {part: [dataclasses.asdict(shard) for shard in own] for part, own in shards.parts.items()},
    }
