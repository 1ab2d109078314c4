"""The settings of a run, one a line: all that is known of one stands in the metadata of its field.

Checks, the hash, the arguments of the builders, what is measured anew, and the help of the command line follow from it.
"""

import dataclasses
import importlib
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from lib.data import AUGMENTATIONS, DATASETS, SAMPLERS, SPLITS, VIEWS
from lib.gattanet.agreement import NORMS
from lib.glsa import FUSION_STRATEGIES, LOCAL_ATTENTION, RESIDUAL_STRATEGIES, WIDTHS
from lib.hardware import DEVICES, PRECISIONS
from lib.lesa import POSITIONS
from lib.models import WRAPPERS
from lib.retrieval.distances import DISTANCES
from lib.training.losses import LOSSES
from lib.training.optimisers import LR_SCHEDULERS, OPTIMIZERS
from lib.weights import NO_WEIGHTS

TASKS = ("classification", "reid")
NO_REFIT, REFITS = "none", ("none", "val", "all")

# `attention` on a ViT: which of DCAL's branches are trained beside self-attention (SA), as (GLCA, PWCA).
BRANCHES = {"SA": (False, False), "SA+GLCA": (True, False), "SA+PWCA": (False, True), "DCAL": (True, True)}

# What can be added to any recipe; all are off by default.
ADDED = ("mixup", "cutmix", "ema_decay", "accumulate_grad_batches", "test_time_augmentation", "sync_batchnorm")

ATTENTIONS = LOCAL_ATTENTION | WRAPPERS | BRANCHES


class System(NamedTuple):
    """What a setting belongs to."""

    name: str  # for the help; "" where it says no more than the setting
    builder: str = ""  # "network", "loss" or "optimisation", if it takes the setting
    in_use: Callable[[Any], bool] = lambda config: True  # whether a config has it, else the setting is idle


def when(name: str, off: Any, of: System | None = None) -> System:
    """A setting of the system `of`, or of every run, that is idle while it is `off`: so it came into the names of runs later."""
    system = of or System("")
    return system._replace(in_use=lambda config: system.in_use(config) and getattr(config, name) != off)


EVERY_RUN = System("")
REFITTED = System("", in_use=lambda config: config.refits)
STARTED = System("", in_use=lambda config: config.weights != NO_WEIGHTS)
PARTLY = System("", in_use=lambda config: config.weights != NO_WEIGHTS and config.partial_weights)
GLSA = System("GLSA", "network", lambda config: config.attention not in {*WRAPPERS, *BRANCHES})
GATTANET = System("GAttANet", "network", lambda config: config.attention == "gatta")
LESA = System("LESA and self_attention", "network", lambda config: config.attention in {"lesa", "self_attention"})
VIT = System("a ViT", "network", lambda config: config.attention in BRANCHES)
GLCA = System("GLCA", "network", lambda config: BRANCHES.get(config.attention, (False, False))[0])
PWCA = System("PWCA", in_use=lambda config: BRANCHES.get(config.attention, (False, False))[1])
REID = System("re-identification", in_use=lambda config: config.task == "reid")
FLIPPED = System("re-identification", in_use=lambda config: config.task == "reid" and config.flip_test)
LISTED = System("all data sets but shards", in_use=lambda config: not config.streams)  # whose names tell their parts
STREAMED = System("shards", in_use=lambda config: config.streams)
DISTRIBUTED = System("", in_use=lambda config: config.processes > 1)
CLASSIFIED = System("classification", in_use=lambda config: config.task == "classification")
# The settings of all losses and schedules count in every run: the names of all runs depend on that.
LOSS = System("", "loss")
OPTIMISATION = System("", "optimisation")


class Range(NamedTuple):
    """The numbers that a setting may be, in words and as a test."""

    words: str
    holds: Callable[[float], bool]


def at_least(low: int) -> Range:
    """Numbers from `low` on, itself included."""
    return Range(f"at least {low}", lambda value: value >= low)


def between(low: int, high: int) -> Range:
    """Numbers from `low` to `high`, both included."""
    return Range(f"at least {low} and at most {high:,}", lambda value: low <= value <= high)


MOST = 3.4e38  # of a number of 32 bits, with which networks compute
ABOVE_ZERO = Range("above 0 and finite in 32 bits", lambda value: 0 < value <= MOST)
NOT_NEGATIVE = Range("finite and not negative, in 32 bits", lambda value: 0 <= value <= MOST)
SIDE = between(32, 16_384)  # of an image, in pixels
FINITE = Range("finite in 32 bits", lambda value: abs(value) <= MOST)
BELOW_ONE = Range("at least 0 and below 1", lambda value: 0 <= value < 1)
SHARE = Range("above 0 and at most 1", lambda value: 0 < value <= 1)


def setting(
    default: Any,
    help: str,
    *,
    of: System = EVERY_RUN,
    choices: Iterable[str] | Callable[[], Iterable[str]] | None = None,
    range: Range | None = None,
    argument: str = "",
    costs: bool = False,
    aside: bool = False,
) -> Any:
    """A field of `Settings`.

    Args:
        help: a sentence for the command line.
        of: what it belongs to.
        choices: the names that it can be; a function is asked when the setting plays a role, or is no longer the default.
        range: the numbers that it can be.
        argument: the builder's name for it, where it has another.
        costs: a training step's cost follows it, as it does all that the network is built with.
        aside: it changes how a run is carried out or reported, not what it computes: outside the hash.
    """
    known = {"help": help, "system": of, "choices": choices, "range": range, "argument": argument, "aside": aside}
    return dataclasses.field(default=default, metadata=known | {"costs": costs or of.builder == "network"})


def dcal(registry: str) -> Callable[[], Iterable[str]]:
    """A registry of `lib.dcal`, found when somebody asks: timm takes two seconds to import."""
    return lambda: getattr(importlib.import_module("lib.dcal"), registry)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting with its type, default and metadata."""

    task: str = setting(
        "classification", "What is learned: classes, or identities (reid, re-identification).", choices=TASKS
    )

    # data
    dataset: str = setting("phantom-lesions", "Data set to learn.", choices=DATASETS)
    data_root: str | None = setting(
        None,
        "Folder of the data set, or a pattern of shards; none is its place in data/. What is built in is made in it.",
    )
    limit_images: int | None = setting(None, "About this many images, whole lesions; none takes all.", range=ABOVE_ZERO)
    image_size: int = setting(
        224, "Side, or height, in pixels; the whole picture is squeezed into it.", range=SIDE, costs=True
    )
    image_width: int | None = setting(
        None, "Width in pixels; none makes a square, and people are 256×128.", range=SIDE, costs=True
    )
    split: str = setting("lesion", "How parts are drawn; `image` leaks views of one lesion.", of=LISTED, choices=SPLITS)
    val_fraction: float = setting(0.1, "Share for early stopping and the choice of the best epoch.", of=LISTED)
    test_fraction: float = setting(0.2, "Share that is looked at once, after training.", of=LISTED)
    # Apart from `seed`: runs of several seeds share their test images, so they can be paired.
    split_seed: int = setting(0, "Seed of the split.", of=LISTED, range=NOT_NEGATIVE)
    augmentation: str | None = setting(
        None, "How training images are varied; left out, as suits the data set.", choices=AUGMENTATIONS
    )
    # `logit_adjusted` has to know it.
    sampler: str = setting(
        "sqrt", "How often a class is shown; the full inverse repeats rare images too much.", of=LOSS, choices=SAMPLERS
    )
    mixup: float = setting(
        0.0,
        "Blend each training image and its label with another one: α of the Beta distribution of the shares; 0 is off.",
        of=when("mixup", 0.0, CLASSIFIED),
        range=NOT_NEGATIVE,
    )
    cutmix: float = setting(
        0.0,
        "Paste a rectangle of another training image: α of the Beta distribution of its area; 0 is off; with `mixup`, one of "
        "the two by a coin for each batch.",
        of=when("cutmix", 0.0, CLASSIFIED),
        range=NOT_NEGATIVE,
    )
    skip_unreadable: bool = setting(False, "Go on without images that cannot be read.")
    # In the hash, since the order of images is that of the workers.
    loader_workers: int = setting(
        1, "Processes that read and decode, for each device.", of=STREAMED, range=between(1, 1024)
    )

    # model
    backbone: str = setting("resnet18", "A network of torchvision's or the workbook's, or a ViT of timm's.", costs=True)
    pretrained: bool = setting(False, "Start from ImageNet weights of torchvision or timm.")
    weights: str = setting(
        NO_WEIGHTS,
        "What to start from: a file, a run's folder, hf-hub:owner/name, a URL, or weights that ship (`python -m lib.weights` "
        "lists them); `none` trains from scratch.",
        of=STARTED,
    )
    partial_weights: bool = setting(False, "Take of the weights what fits, and draw the rest.", of=PARTLY)
    attention: str = setting(
        "CBAM", "Of GLSA, GAttANet, LESA or DCAL; `none` is the bare backbone.", choices=ATTENTIONS, costs=True
    )
    fusion_strategy: str = setting(
        "original", "How global and local attention are fused.", of=GLSA, choices=FUSION_STRATEGIES
    )
    residual_strategy: str = setting(
        "original", "How the block is added to its input.", of=GLSA, choices=RESIDUAL_STRATEGIES
    )
    num_heads: int = setting(8, "Heads of global attention.", of=GLSA, range=between(1, 4096))
    glsa_width: str = setting(
        "full",
        "`lean`: attention works at a quarter of the channels, for less than a fifth more parameters than a ResNet50's own.",
        of=when("glsa_width", "full", GLSA),
        choices=WIDTHS,
        argument="width",
    )
    gatta_dim: int = setting(64, "Width of keys and queries.", of=GATTANET, range=between(1, 65_536), argument="dim")
    gatta_passes: int = setting(
        2, "Passes through the network; 1 is the backbone.", of=GATTANET, range=between(1, 1000), argument="passes"
    )
    gatta_layers: tuple[str, ...] | None = setting(
        None,
        "Layers that agree (layer3,layer4); none is the last three stages, and hidden dense layers.",
        of=when("gatta_layers", None, GATTANET),
        argument="layers",
    )
    gatta_alpha_init: float = setting(
        0.0,
        "Where α starts; at 0 as the backbone.",
        of=when("gatta_alpha_init", 0.0, GATTANET),
        argument="alpha_init",
        range=FINITE,
    )
    gatta_norm: str | None = setting(
        None, "`layer` normalises the agreement.", of=GATTANET, choices=NORMS, argument="norm"
    )
    freeze_backbone: bool = setting(False, "Train keys, queries and α only.", of=GATTANET, argument="freeze")
    # `axial` is not the paper's.
    lesa_position: str = setting(
        "classification", "`axial` knows rows from columns.", of=LESA, choices=POSITIONS, argument="position"
    )
    patch_size: int | None = setting(
        None, "Side of a patch in pixels; none is the backbone's own.", of=VIT, range=between(1, 16_384)
    )
    depth: int | None = setting(
        None, "Self-attention layers; none is the backbone's own.", of=VIT, range=between(1, 1000)
    )
    drop_path: float = setting(
        0.1, "Stochastic depth, growing layer by layer up to this.", of=VIT, range=BELOW_ONE, argument="drop_path_rate"
    )
    top_ratio: float = setting(
        0.1, "Share of the patches that are queries; the paper takes 0.3 for reid.", of=GLCA, range=SHARE
    )
    selection: str = setting(
        "rollout", "What chooses the patches that are queries.", of=GLCA, choices=dcal("SELECTIONS")
    )
    glca_input: str = setting(
        "output", "What is read of the last self-attention layer.", of=GLCA, choices=dcal("GLCA_INPUTS")
    )
    glca_readout: str = setting(
        "class", "With `class` no selection changes an answer.", of=GLCA, choices=dcal("GLCA_READOUTS")
    )
    pairs: str = setting("random", "Who distracts whom.", of=PWCA, choices=dcal("PAIR_STRATEGIES"), costs=True)

    # re-identification
    images_per_identity: int = setting(4, "Images of each identity in a batch.", of=REID, range=at_least(2))
    triplet_margin: float | None = setting(
        None, "Margin of the triplets; none is the soft margin.", of=REID, range=ABOVE_ZERO
    )
    distance: str = setting("cosine", "Distance by which a gallery is ranked.", of=REID, choices=DISTANCES)
    rerank: bool = setting(False, "Report k-reciprocal re-ranking, too.", of=REID)
    flip_test: bool = setting(False, "Search by the mean vector of an image and of its mirror image.", of=FLIPPED)

    # loss
    loss_type: str = setting(
        "focal",
        "What is minimised; with `logit_adjusted` a network answers as if all classes were as common, which raises balanced "
        "accuracy.",
        of=LOSS,
        choices=LOSSES,
        argument="name",
        costs=True,
    )
    focal_alpha: float | tuple[float, ...] | None = setting(
        0.25, "Of `focal`: one weight, or one a class (0.1,0.3,…).", of=LOSS, range=ABOVE_ZERO, argument="alpha"
    )
    focal_gamma: float = setting(
        2.0, "Of `focal`, `class_balanced`; 0: weighted cross-entropy.", of=LOSS, range=NOT_NEGATIVE, argument="gamma"
    )
    label_smoothing: float = setting(
        0.1,
        "Of `label_smoothing`, `logit_adjusted`: share that goes to all.",
        of=LOSS,
        range=BELOW_ONE,
        argument="smoothing",
    )
    class_balanced_beta: float = setting(
        0.999, "0 weighs all alike, towards 1 by inverse frequency.", of=LOSS, range=BELOW_ONE, argument="beta"
    )
    allow_double_correction: bool = setting(False, "A balancing sampler and class weights together, on purpose.")

    # optimisation
    batch_size: int = setting(32, "Images of a step, over all devices.", range=at_least(2), costs=True)
    max_epoch: int = setting(50, "Epochs at most.", range=at_least(1), of=OPTIMISATION, argument="epochs")
    lr: float = setting(1e-3, "Learning rate.", range=ABOVE_ZERO, of=OPTIMISATION)
    optimizer: str = setting("AdamW", "Optimiser.", choices=OPTIMIZERS, of=OPTIMISATION, costs=True)
    weight_decay: float = setting(
        1e-4, "Of matrices and kernels; biases, norms and gates have none.", range=NOT_NEGATIVE, of=OPTIMISATION
    )
    lr_scheduler: str = setting(
        "ReduceLROnPlateau", "Schedule of the rate.", choices=LR_SCHEDULERS, of=OPTIMISATION, argument="scheduler"
    )
    warmup_epochs: float = setting(
        1.0, "Of `CosineWarmup` only: epochs of a rising rate.", of=OPTIMISATION, range=NOT_NEGATIVE
    )
    accumulate_grad_batches: int = setting(
        1, "Batches whose gradients make one step.", of=when("accumulate_grad_batches", 1), range=between(1, 1024)
    )
    ema_decay: float = setting(
        0.0,
        "What the average of the weights keeps of itself at a step, such as 0.99; the average is validated, tested and kept; 0 "
        "is off.",
        of=when("ema_decay", 0.0),
        range=BELOW_ONE,
    )
    test_time_augmentation: str = setting(
        "none",
        "Answer with the mean of the probabilities for an image and its mirror image, or for its eight symmetries.",
        of=when("test_time_augmentation", "none", CLASSIFIED),
        choices=VIEWS,
    )
    refit: str = setting(
        NO_REFIT,
        "Meant for use: after validation has chosen the number of epochs, train anew on its images too (`val`), or on all "
        "(`all`), those of the test included.",
        of=REFITTED,
        choices=REFITS,
    )
    early_stopping_patience: int | None = setting(
        15, "Epochs without a better validation result before training stops; none never stops.", range=ABOVE_ZERO
    )
    gradient_clip: float | None = setting(
        5.0, "Largest norm: attention from scratch meets a bad batch now and then.", range=ABOVE_ZERO, costs=True
    )
    seed: int = setting(0, "Seed of weights, batches, augmentation and dropout.", range=at_least(0))

    # Data-parallel training is another computation: batch statistics, PWCA's partners and the draws of dropout and
    # augmentation belong to a device's share of the batch.
    devices: int = setting(1, "GPUs, or processes on a CPU, of each node.", of=DISTRIBUTED, range=between(1, 1024))
    num_nodes: int = setting(1, "Machines that train together.", of=DISTRIBUTED, range=between(1, 65_536))
    sync_batchnorm: bool = setting(
        False, "Batch normalisation over the batch of all devices, which are GPUs.", of=when("sync_batchnorm", False)
    )
    precision: str = setting("auto", "`auto` is bf16 where the hardware has it.", choices=PRECISIONS)

    # how to carry it out
    device: str = setting("auto", "Device to compute on.", choices=DEVICES, aside=True)
    verbose: bool = setting(False, "Log the metrics of batches, too.", aside=True)
    wandb_project: str | None = setting(None, "Project at Weights & Biases; none: it stays off.", aside=True)
    wandb_run: str | None = setting(None, "Beginning of the run's name there; none is the backbone.", aside=True)
    mlflow_experiment: str | None = setting(None, "Experiment of MLflow; none: it stays off.", aside=True)
    tensorboard: bool = setting(False, "Write event files for TensorBoard into the run's folder.", aside=True)


SETTINGS = {f.name: f for f in dataclasses.fields(Settings)}
TYPES = {  # that a setting can be of
    name: typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for name, hint in typing.get_type_hints(Settings).items()
}


def known_names(name: str) -> list[str] | None:
    """The names that a setting can be; None where it is no name."""
    choices = SETTINGS[name].metadata["choices"]
    return None if choices is None else list(choices() if callable(choices) else choices)


def is_none(name: str, value: Any) -> bool:
    """Whether 'none' says of a setting that it is left out: unless that is one of its names, such as that of a schedule."""
    if not (isinstance(value, str) and value.casefold() == "none" and types.NoneType in TYPES[name]):
        return False
    choices = SETTINGS[name].metadata["choices"]
    return callable(choices) or "none" not in (choices or ())
