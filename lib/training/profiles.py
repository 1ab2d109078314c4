"""Sizes of work: seconds for tests, minutes on two cores, a real data set on a GPU, the seeds' whole protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lib.data import DATASETS
from lib.errors import choose
from lib.training.config import RunConfig

_MODERN = {
    "loss_type": "label_smoothing",
    "optimizer": "AdamW",
    "lr_scheduler": "CosineWarmup",
    "weight_decay": 0.05,
    "sampler": "sqrt",
}

PROFILES: dict[str, dict[str, Any]] = {
    "smoke": {**_MODERN, "image_size": 32, "limit_images": 600, "max_epoch": 2, "batch_size": 32},
    "quick": {
        **_MODERN,
        "max_epoch": 9,
        "batch_size": 64,
        "lr": 2e-3,
        "warmup_epochs": 0.5,  # and the data set's own image size
    },
    "full": {
        **_MODERN,
        "image_size": 224,
        "pretrained": True,
        "max_epoch": 40,
        "batch_size": 64,
        "lr": 3e-4,
        "backbone": "resnet50",
    },
    "paper": {
        "image_size": 224,
        "pretrained": True,
        "backbone": "resnet50",
        "max_epoch": 100,
        "batch_size": 32,
        "lr": 1e-3,
        "loss_type": "focal",
        "lr_scheduler": "ReduceLROnPlateau",
        "early_stopping_patience": 15,
    },
}


def profile_config(profile: str = "quick", **settings: Any) -> RunConfig:
    """A RunConfig at the sizes of `profile`; a setting that is not None wins over the profile's.

    Raises:
        WorkbookValueError: an unknown profile or setting.
    """
    values = dict(PROFILES[choose("profile", profile, PROFILES)])
    values |= {name: value for name, value in settings.items() if value is not None}
    dataset = choose("dataset", values.get("dataset", "phantom-lesions"), DATASETS)
    values.setdefault("image_size", DATASETS[dataset].quick_size)
    return RunConfig.from_dict(values)


def config_of(parameters: Mapping[str, Any]) -> RunConfig:
    """The run that the training notebook makes with `parameters`; those of them that are no settings are left out.

    Raises:
        WorkbookValueError: an unknown profile, or a value that a setting cannot have.
    """
    settings = {field.name for field in dataclasses.fields(RunConfig)} | {"profile"}
    return profile_config(**{name: value for name, value in parameters.items() if name in settings})
