"""`RunConfig`: everything that decides what a run computes, in one frozen dataclass."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.backbones import known_backbone
from lib.data import SHARDS
from lib.errors import WorkbookValueError, choose, unknown
from lib.models import NETWORKS
from lib.paths import given_path
from lib.training.losses import COUNTING
from lib.training.settings import BRANCHES, NO_REFIT, SETTINGS, TYPES, Settings, is_none, known_names
from lib.weights import known_start, one_start, shipped, shipped_names, start_digest


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
    """One training run. Equal configs are one run: `hash` names its folder in the store.

    Raises:
        WorkbookValueError: an unknown name (with the nearest known one), a wrong type, a value out of range.
    """

    def __post_init__(self) -> None:
        for name, options in TYPES.items():
            self._set(name, _checked(name, getattr(self, name), options))
        self._choose_names("task", "attention")  # which tell what else plays a role
        self._check_network()
        self._choose_names(*SETTINGS)
        self._check_start()
        if self.data_root is not None and "://" not in self.data_root:
            self._set("data_root", os.path.realpath(given_path(self.data_root, "data_root")))
        self._check_ranges()
        self._check_batch()
        self._check_recipe()
        self._check_correction()
        self._check_stream()
        self._check_refit()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _choose_names(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is None or (value == SETTINGS[name].default and not self.uses(name)):
                continue  # so that timm is not imported for names that nobody has said
            if (known := known_names(name)) is not None:
                self._set(name, choose(name, value, known))

    def _check_network(self) -> None:
        if self.attention in BRANCHES:
            return  # timm knows its ViTs
        if self.task == "reid":
            raise WorkbookValueError(
                f"task='reid' needs a network that embeds: take attention='DCAL' (or {', '.join([*BRANCHES][:-1])}) and "
                f"a ViT such as deit_tiny_patch16_224, not attention={self.attention!r}."
            )
        self._set("backbone", known_backbone(self.backbone, NETWORKS))
        if self.backbone in NETWORKS and self.attention != "none":
            raise WorkbookValueError(f"{self.backbone} has attention of its own: take attention='none'.")

    def _check_start(self) -> None:
        one_start(self.pretrained, self.weights)
        if self.uses("weights"):
            self._set("weights", known_start(self.weights))
            if self.weights in shipped_names():
                shipped(self.weights).check_network(self.backbone)

    def _check_ranges(self) -> None:
        for name in SETTINGS:
            value, limits = getattr(self, name), SETTINGS[name].metadata["range"]
            numbers = value if isinstance(value, tuple) else () if value is None else (value,)
            if limits is not None and not all(map(limits.holds, numbers)):
                raise WorkbookValueError(f"{name}={value} must be {limits.words}.")

    def _check_batch(self) -> None:
        if self.task == "reid" and self.batch_size % self.images_per_identity:
            raise WorkbookValueError(
                f"batch_size={self.batch_size} must be a multiple of images_per_identity={self.images_per_identity}."
            )
        if self.processes == 1:
            return
        if self.batch_size % self.processes or self.batch_size < 2 * self.processes:
            raise WorkbookValueError(
                f"batch_size={self.batch_size} counts the images of all {self.processes} devices (devices={self.devices}, "
                f"num_nodes={self.num_nodes}), which get equal shares of two or more: take a multiple of {self.processes}, "
                f"such as {max(2, round(self.batch_size / self.processes)) * self.processes}."
            )
        if self.task == "reid":
            raise WorkbookValueError(
                f"task='reid' looks for its triplets in the whole batch and trains on one device, not on {self.processes}: "
                "leave out devices and num_nodes."
            )

    def _check_recipe(self) -> None:
        """What is added to a recipe has to suit the task and the devices."""
        mixed = [name for name in ("mixup", "cutmix") if getattr(self, name)]
        if mixed and (self.task == "reid" or self.uses("pairs")):
            whose = "re-identification's triplets" if self.task == "reid" else "PWCA's pairs"
            remedy = "" if self.task == "reid" else ", or take attention='SA+GLCA'"
            raise WorkbookValueError(
                f"{mixed[0]}={getattr(self, mixed[0])} blends two labels into one, and {whose} are chosen by whole ones: leave "
                f"out {' and '.join(mixed)}{remedy}."
            )
        views = self.test_time_augmentation
        if views != "none" and self.task == "reid":
            raise WorkbookValueError(
                f"test_time_augmentation={views!r} averages probabilities of classes: for task='reid' take flip_test=True."
            )
        if views == "symmetries" and self.size[0] != self.size[1]:
            raise WorkbookValueError(
                f"test_time_augmentation='symmetries' turns images by 90°, and these are of {self.size[0]}×{self.size[1]} "
                "pixels: take 'mirror', or leave out image_width."
            )
        if self.sync_batchnorm and (self.processes == 1 or self.device == "cpu"):
            where = "the CPU, where PyTorch has none" if self.device == "cpu" else "one device alone"
            raise WorkbookValueError(
                f"sync_batchnorm=True is for several GPUs (devices=2), and this run is on {where}: leave it out."
            )

    def _check_stream(self) -> None:
        """What needs a list of all images cannot be had of shards, which are read as they come."""
        if not self.streams:
            return
        wanted = {"task": "classification", "sampler": "none", "limit_images": None, "refit": NO_REFIT}
        if self.loss_type in COUNTING:
            wanted["loss_type"] = "cross_entropy"
        for name, value in wanted.items():
            if getattr(self, name) != value:
                raise WorkbookValueError(
                    f"{name}={getattr(self, name)!r} needs a list of all images, which shards have not: take {name}={value!r}."
                )

    def _check_refit(self) -> None:
        if self.refits and self.processes > 1:
            raise WorkbookValueError(
                f"refit={self.refit!r} trains on one device, not on {self.processes}: leave out devices and num_nodes."
            )
        if self.refit == "all" and self.task == "reid":
            raise WorkbookValueError(
                "refit='all' is for classes: the identities that are searched for are none of those that are learned. Take "
                "refit='val'."
            )

    def _check_correction(self) -> None:
        weighs = self.loss_type == "class_balanced" or (
            self.loss_type == "focal" and isinstance(self.focal_alpha, tuple)
        )
        if weighs and self.sampler != "none" and not self.allow_double_correction:
            raise WorkbookValueError(
                f"sampler={self.sampler!r} and a loss with class weights ({self.loss_type}) correct the imbalance twice, "
                "which can ruin the largest class. Take sampler='none' (--sampler none), or a loss without weights, "
                "or ask for both with allow_double_correction=True (--allow_double_correction)."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunConfig:
        """A config from plain values, e.g. of JSON; an unknown field is an error that suggests the nearest."""
        for name in values:
            if name not in SETTINGS:
                raise unknown("setting", name, SETTINGS)
        return cls(**values)

    @classmethod
    def stored(cls, values: dict[str, Any]) -> RunConfig:
        """The config of a run that is there. A name that plays no role in it may be registered only where it was trained, as
        somebody's own fusion in a bare baseline; it is read as the default."""
        strange = {name: SETTINGS[name].default for name, value in values.items() if _is_strange(name, value)}
        config = cls.from_dict(values | strange)
        return cls.from_dict(values) if any(map(config.uses, strange)) else config

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    def replace(self, **changes: Any) -> RunConfig:
        """The same run with other values for some fields."""
        return type(self).from_dict({**self.to_dict(), **changes})

    def uses(self, name: str) -> bool:
        """Whether a setting plays a role in this run; those of other networks and tasks do not."""
        return SETTINGS[name].metadata["system"].in_use(self)

    @property
    def idle(self) -> set[str]:
        """The settings that play no role in this run."""
        return {name for name in SETTINGS if not self.uses(name)}

    def arguments(self, builder: str) -> dict[str, Any]:
        """What a builder ("network", "loss" or "optimisation") takes of this run, by its own names."""
        theirs = [name for name, f in SETTINGS.items() if f.metadata["system"].builder == builder and self.uses(name)]
        return {SETTINGS[name].metadata["argument"] or name: getattr(self, name) for name in theirs}

    @property
    def cost(self) -> dict[str, Any]:
        """What the cost of a training step follows; another setting, such as a seed or the data, does not count."""
        return {name: getattr(self, name) for name, f in SETTINGS.items() if f.metadata["costs"] and self.uses(name)}

    @property
    def streams(self) -> bool:
        """Whether images come from tar shards, which are read as they come."""
        return self.dataset == SHARDS

    @property
    def refits(self) -> bool:
        """Whether the network is meant for use: trained on the images that chose its number of epochs, too."""
        return self.refit != NO_REFIT

    @property
    def processes(self) -> int:
        """How many devices train together, each in a process of its own."""
        return self.devices * self.num_nodes

    @property
    def bare(self) -> RunConfig:
        """The same run of the backbone without attention, or of the ViT without DCAL's branches."""
        return self.replace(attention="SA" if self.attention in BRANCHES else "none")

    @property
    def monitor(self) -> str:
        """The column of training_log.csv whose highest value marks the best epoch."""
        if self.task == "reid":
            return "val_map"
        return "val_accuracy" if self.attention in BRANCHES else "val_balanced_accuracy"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what the network sees, in pixels."""
        return self.image_size, self.image_width or self.image_size

    @property
    def hash(self) -> str:
        """Eight hex digits over every field that decides what is computed, and over what is in the starting weights."""
        left_out = self.idle | {name for name, f in SETTINGS.items() if f.metadata["aside"]}
        content = {name: value for name, value in self.to_dict().items() if name not in left_out}
        if "weights" in content:
            content["weights"] = start_digest(self.weights)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """The name of the run's folder: readable, and unique by its hash."""
        parts = [self.dataset, self.backbone, self.attention]
        if self.uses("fusion_strategy"):
            parts += [self.fusion_strategy, self.residual_strategy]
        return "-".join([*parts, f"s{self.seed}", self.hash])

    @property
    def wandb_name(self) -> str:
        """`{base}_{fusion}_{residual}_{attention}`."""
        return "_".join([self.wandb_run or self.backbone, self.fusion_strategy, self.residual_strategy, self.attention])


def _is_strange(name: str, value: Any) -> bool:
    """Whether `value` is no name that the setting can be, as far as it is one of those that can only be certain names."""
    if name not in SETTINGS or value in (None, SETTINGS[name].default):
        return False
    return (known := known_names(name)) is not None and value not in known


def _checked(name: str, value: Any, options: tuple[Any, ...]) -> Any:
    """`value` as one of the types; an int may stand for a float, a list, or text with commas, for a tuple, and 'none' for
    None where it is no name of its own.

    Raises:
        WorkbookValueError: any other type; names the field, the value and the type wanted.
    """
    if isinstance(value, int) and value.bit_length() > 63:
        raise WorkbookValueError(f"{name} is a number of {value.bit_length()} bits; it must be one of 63 at most.")
    if is_none(name, value):
        return None
    for option in options:
        if typing.get_origin(option) is tuple and isinstance(value, list | tuple):
            return tuple(_checked(name, v, typing.get_args(option)[:1]) for v in value)
        if option == tuple[str, ...] and isinstance(value, str):
            return tuple(part.strip() for part in value.split(","))
        if option is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is option:
            return value
        if option is str and isinstance(value, Path):
            return str(value)
    wanted = " or ".join("None" if o is type(None) else getattr(o, "__name__", str(o)) for o in options)
    raise WorkbookValueError(f"{name}={value!r} is of type {type(value).__name__}; it must be {wanted}.")
