"""`RunConfig`: everything that decides what a run computes, in one frozen dataclass."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import json
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib.backbones import BACKBONES
from lib.data import AUGMENTATIONS, DATASETS, SAMPLERS, SHARDS, SPLITS
from lib.errors import WorkbookValueError, choose, unknown
from lib.glsa import FUSION_STRATEGIES, LOCAL_ATTENTION, RESIDUAL_STRATEGIES
from lib.hardware import DEVICES, PRECISIONS
from lib.lesa import POSITIONS
from lib.models import NETWORKS, WRAPPERS
from lib.retrieval.distances import DISTANCES
from lib.training.losses import LOSSES
from lib.training.optimisers import LR_SCHEDULERS, OPTIMIZERS

TASKS = ("classification", "reid")

# `attention` on a ViT: which of DCAL's branches are trained beside self-attention (SA), as (GLCA, PWCA).
BRANCHES = {"SA": (False, False), "SA+GLCA": (True, False), "SA+PWCA": (False, True), "DCAL": (True, True)}

ATTENTIONS = LOCAL_ATTENTION | WRAPPERS | BRANCHES

# The settings of one network or task, which play no role in the runs of others.
GLSA_SETTINGS = {"fusion_strategy", "residual_strategy", "num_heads"}
GATTA_SETTINGS = {"gatta_dim", "gatta_passes", "gatta_norm", "freeze_backbone"}
LESA_SETTINGS = {"lesa_position"}
VIT_SETTINGS = {"patch_size", "depth", "drop_path"}
GLCA_SETTINGS = {"top_ratio", "selection", "glca_input", "glca_readout"}
REID_SETTINGS = {"images_per_identity", "triplet_margin", "distance", "rerank"}
LISTED_SETTINGS = {"split", "val_fraction", "test_fraction", "split_seed"}  # shards tell their parts by their names
STREAM_SETTINGS = {"loader_workers"}
DISTRIBUTED_SETTINGS = {"devices", "num_nodes"}


def _choice(default: str | None, known: typing.Iterable[str] | typing.Callable[[], typing.Iterable[str]]) -> Any:
    """A field that names one of `known`; a function is asked when the field plays a role."""
    return field(default=default, metadata={"known": known})


def _dcal(name: str) -> typing.Callable[[], typing.Iterable[str]]:
    """A registry of `lib.dcal`, found when somebody asks: timm takes two seconds to import."""
    return lambda: getattr(importlib.import_module("lib.dcal"), name)


def _aside(default: Any, known: typing.Iterable[str] | None = None) -> Any:
    """A field that changes how a run is carried out or reported, not what it computes: outside the hash."""
    return field(default=default, metadata={"aside": True, "known": known})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run. Equal configs are one run: `hash` names its folder in the store.

    Raises:
        WorkbookValueError: an unknown name (with the nearest known one), a wrong type, a value out of range.
    """

    task: str = _choice("classification", TASKS)  # `reid`: re-identification

    # data
    dataset: str = _choice("phantom-lesions", DATASETS)
    data_root: str | None = None  # the data set's folder, or a pattern of shards; None is its place in data/
    limit_images: int | None = None  # about this many images only, whole lesions; None takes all
    image_size: int = 224  # side, or height, in pixels; the whole picture is squeezed into it
    image_width: int | None = None  # pixels; None makes a square. Re-identification of people takes 256×128
    split: str = _choice("lesion", SPLITS)  # `image` leaks views of one lesion, on purpose
    val_fraction: float = 0.1  # for early stopping and the choice of the best epoch
    test_fraction: float = 0.2  # looked at once, after training
    split_seed: int = 0  # apart from `seed`: runs of several seeds share their test images, so they can be paired
    augmentation: str | None = _choice(None, AUGMENTATIONS)  # None is what suits the data set
    sampler: str = _choice(
        "sqrt", SAMPLERS
    )  # how often a class is shown; the full inverse repeats rare images too much
    skip_unreadable: bool = False  # go on without images that cannot be read
    loader_workers: int = 1  # of shards: processes that read and decode, for each device; the order of images is theirs

    # model
    backbone: str = "resnet18"  # of torchvision, of the workbook, or with one of BRANCHES a ViT of timm's
    pretrained: bool = False  # ImageNet weights from torchvision or timm
    # of a GLSA block, GAttANet's, LESA's or DCAL's; `none` is the bare backbone
    attention: str = _choice("CBAM", ATTENTIONS)
    fusion_strategy: str = _choice("original", FUSION_STRATEGIES)
    residual_strategy: str = _choice("original", RESIDUAL_STRATEGIES)
    num_heads: int = 8

    # GAttANet
    gatta_dim: int = 64  # of keys and queries
    gatta_passes: int = 2  # 1 is the backbone
    gatta_norm: str | None = None  # "layer" normalises the agreement
    freeze_backbone: bool = False  # train keys, queries and α only

    # LESA, and plain self-attention in its places
    lesa_position: str = _choice("classification", POSITIONS)  # `axial` knows rows from columns; not the paper's

    # DCAL, and the ViT it stands on
    patch_size: int | None = None  # pixels; None is the backbone's own, as is a `depth` of None
    depth: int | None = None  # self-attention layers
    drop_path: float = 0.1  # stochastic depth of the last layer, growing from 0 at the first
    top_ratio: float = 0.1  # share of the patches that GLCA asks for; the paper takes 0.3 for re-identification
    selection: str = _choice("rollout", _dcal("SELECTIONS"))
    glca_input: str = _choice("output", _dcal("GLCA_INPUTS"))  # of the last self-attention layer
    glca_readout: str = _choice("class", _dcal("GLCA_READOUTS"))  # with `class` no selection changes an answer
    pairs: str = _choice("random", _dcal("PAIR_STRATEGIES"))  # who distracts whom in PWCA

    # re-identification; a batch is batch_size / images_per_identity identities
    images_per_identity: int = 4
    triplet_margin: float | None = None  # None is the soft margin
    distance: str = _choice("cosine", DISTANCES)
    rerank: bool = False  # report k-reciprocal re-ranking, too

    # loss
    loss_type: str = _choice("focal", LOSSES)
    focal_alpha: float | tuple[float, ...] | None = 0.25  # of `focal` only: one weight for all, or one a class
    focal_gamma: float = 2.0  # of `focal` and `class_balanced`; 0 makes them weighted cross-entropy
    label_smoothing: float = 0.1  # of `label_smoothing` only
    class_balanced_beta: float = 0.999  # 0 weighs all classes alike, towards 1 by inverse frequency
    allow_double_correction: bool = False  # a balancing sampler and class weights together correct twice

    # optimisation
    batch_size: int = 32  # images of a step, over all devices
    max_epoch: int = 50
    lr: float = 1e-3
    optimizer: str = _choice("AdamW", OPTIMIZERS)
    weight_decay: float = 1e-4
    lr_scheduler: str = _choice("ReduceLROnPlateau", LR_SCHEDULERS)
    warmup_epochs: float = 1.0  # of CosineWarmup only
    early_stopping_patience: int | None = 15  # epochs without a better validation balanced accuracy; None never stops
    gradient_clip: float | None = 5.0  # norm; attention from scratch meets a bad batch now and then
    seed: int = 0

    # Data-parallel training. It is another computation: batch statistics, PWCA's partners and the draws of dropout and
    # augmentation belong to a device's share of the batch.
    devices: int = 1  # of each node: GPUs, or processes on a CPU
    num_nodes: int = 1

    precision: str = _choice("auto", PRECISIONS)  # auto: bf16 where the hardware has it

    # how to carry it out
    device: str = _aside("auto", DEVICES)
    verbose: bool = _aside(False)  # batch metrics too
    wandb_project: str | None = _aside(None)  # None: Weights & Biases stays off
    wandb_run: str | None = _aside(None)  # the base of the run's name there; None is the backbone

    def __post_init__(self) -> None:
        hints = _types(type(self))
        for f in dataclasses.fields(self):
            value = _checked(f.name, getattr(self, f.name), hints[f.name])
            object.__setattr__(self, f.name, value)
        self._check_network()
        for f in dataclasses.fields(self):
            known, value = f.metadata.get("known"), getattr(self, f.name)
            if known is not None and value is not None and f.name not in self.idle:
                known = known() if callable(known) else known
                object.__setattr__(self, f.name, choose(f.name, value, known))
        if self.data_root is not None and "://" not in self.data_root:
            object.__setattr__(self, "data_root", str(Path(self.data_root).expanduser().resolve()))
        self._check_ranges()
        self._check_shares()
        self._check_correction()
        self._check_stream()

    def _check_network(self) -> None:
        attention = choose("attention", self.attention, ATTENTIONS)
        object.__setattr__(self, "attention", attention)
        if attention in BRANCHES:
            return  # timm knows its ViTs
        if self.task == "reid":
            raise WorkbookValueError(
                f"task='reid' needs a network that embeds: take attention='DCAL' (or {', '.join([*BRANCHES][:-1])}) and "
                f"a ViT such as deit_tiny_patch16_224, not attention={attention!r}."
            )
        object.__setattr__(self, "backbone", choose("backbone", self.backbone, [*BACKBONES, *NETWORKS]))
        if self.backbone in NETWORKS and attention != "none":
            raise WorkbookValueError(f"{self.backbone} has attention of its own: take attention='none'.")

    def _check_ranges(self) -> None:
        least_of = {"image_size": 32, "image_width": 32, "batch_size": 2, "max_epoch": 1, "num_heads": 1, "seed": 0}
        least_of |= {"gatta_dim": 1, "gatta_passes": 1, "patch_size": 1, "depth": 1, "images_per_identity": 2}
        least_of |= {"loader_workers": 1, "devices": 1, "num_nodes": 1}
        for name, least in least_of.items():
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise WorkbookValueError(f"{name}={getattr(self, name)} must be at least {least}.")
        for name in (
            "lr",
            "gradient_clip",
            "early_stopping_patience",
            "limit_images",
            "focal_alpha",
            "top_ratio",
            "triplet_margin",
        ):
            value = getattr(self, name)
            for each in value if isinstance(value, tuple) else (value,):
                if each is not None and not 0 < each < math.inf:
                    raise WorkbookValueError(f"{name}={value} must be above 0 and finite.")
        for name in ("weight_decay", "focal_gamma", "warmup_epochs", "split_seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise WorkbookValueError(f"{name}={getattr(self, name)} must be finite and not negative.")
        if self.top_ratio > 1:
            raise WorkbookValueError(f"top_ratio={self.top_ratio} must be at most 1: it is a share of the patches.")
        if self.task == "reid" and self.batch_size % self.images_per_identity:
            raise WorkbookValueError(
                f"batch_size={self.batch_size} must be a multiple of images_per_identity={self.images_per_identity}."
            )
        for name in ("label_smoothing", "class_balanced_beta", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise WorkbookValueError(f"{name}={getattr(self, name)} must lie in [0, 1).")

    def _check_shares(self) -> None:
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

    def _check_stream(self) -> None:
        """What needs a list of all images cannot be had of shards, which are read as they come."""
        if not self.streams:
            return
        wanted = {"task": "classification", "sampler": "none", "limit_images": None}
        if self.loss_type == "class_balanced":
            wanted["loss_type"] = "cross_entropy"
        for name, value in wanted.items():
            if getattr(self, name) != value:
                raise WorkbookValueError(
                    f"{name}={getattr(self, name)!r} needs a list of all images, which shards have not: take {name}={value!r}."
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
        names = [f.name for f in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise unknown("setting", name, names)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    def replace(self, **changes: Any) -> RunConfig:
        """The same run with other values for some fields."""
        return type(self).from_dict({**self.to_dict(), **changes})

    @property
    def idle(self) -> set[str]:
        """The settings that play no role in this run: those of other networks and tasks."""
        glca, pwca = BRANCHES.get(self.attention, (False, False))
        roles = {
            **dict.fromkeys(GLSA_SETTINGS, self.attention not in {*WRAPPERS, *BRANCHES}),
            **dict.fromkeys(GATTA_SETTINGS, self.attention == "gatta"),
            **dict.fromkeys(LESA_SETTINGS, self.attention in {"lesa", "self_attention"}),
            **dict.fromkeys(VIT_SETTINGS, self.attention in BRANCHES),
            **dict.fromkeys(GLCA_SETTINGS, glca),
            "pairs": pwca,
            **dict.fromkeys(REID_SETTINGS, self.task == "reid"),
            **dict.fromkeys(LISTED_SETTINGS, not self.streams),
            **dict.fromkeys(STREAM_SETTINGS, self.streams),
            **dict.fromkeys(DISTRIBUTED_SETTINGS, self.processes > 1),
        }
        return {name for name, role in roles.items() if not role}

    @property
    def streams(self) -> bool:
        """Whether images come from tar shards, which are read as they come."""
        return self.dataset == SHARDS

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
        """Eight hex digits over every field that decides what is computed."""
        aside = self.idle | {f.name for f in dataclasses.fields(self) if f.metadata.get("aside")}
        content = {k: v for k, v in self.to_dict().items() if k not in aside}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """The name of the run's folder: readable, and unique by its hash."""
        parts = [self.dataset, self.backbone, self.attention]
        if "fusion_strategy" not in self.idle:
            parts += [self.fusion_strategy, self.residual_strategy]
        return "-".join([*parts, f"s{self.seed}", self.hash])

    @property
    def wandb_name(self) -> str:
        """`{base}_{fusion}_{residual}_{attention}`."""
        return "_".join([self.wandb_run or self.backbone, self.fusion_strategy, self.residual_strategy, self.attention])


@functools.cache
def _types(cls: type) -> dict[str, Any]:
    """The annotated type of each field; a sweep makes thousands of configs."""
    return typing.get_type_hints(cls)


def _checked(name: str, value: Any, hint: Any) -> Any:
    """`value` as a member of the annotated type; an int may stand for a float, a list for a tuple.

    Raises:
        WorkbookValueError: any other type; names the field, the value and the type wanted.
    """
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        if typing.get_origin(option) is tuple and isinstance(value, list | tuple):
            return tuple(_checked(name, v, float) for v in value)
        if option is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is option:
            return value
        if option is str and isinstance(value, Path):
            return str(value)
    wanted = " or ".join("None" if o is type(None) else getattr(o, "__name__", str(o)) for o in options)
    raise WorkbookValueError(f"{name}={value!r} is of type {type(value).__name__}; it must be {wanted}.")
