"""Sizes of work (seconds for tests, minutes on two cores, a real data set on a GPU, GLSA's whole protocol), and the
recipes that the other papers trained with.
"""

from collections.abc import Mapping
from typing import Any

from lib.backbones import has_pretrained
from lib.data import DATASETS, SHARDS
from lib.errors import choose, height_and_width
from lib.glsa import LOCAL_ATTENTION
from lib.training.config import RunConfig
from lib.training.settings import SETTINGS
from lib.weights import NO_WEIGHTS, shipped_names

_ADAMW = {"optimizer": "AdamW", "weight_decay": 0.05}
_MODERN = {**_ADAMW, "loss_type": "label_smoothing", "lr_scheduler": "CosineWarmup", "sampler": "sqrt"}
_FINE_TUNED = {
    **_MODERN,
    "backbone": "resnet18_small",
    "weights": "resnet18_small",
    "precision": "32",  # on a CPU half precision pays only for larger networks
}
_RESNET50 = {"backbone": "resnet50", "pretrained": True, "image_size": 224}

# What the recipes of DCAL, GAttANet and LESA have in common.
_PLAIN = {
    "sampler": "none",
    "loss_type": "cross_entropy",
    "lr_scheduler": "CosineWarmup",
    "early_stopping_patience": None,
}

_DCAL = {
    **_PLAIN,
    "attention": "DCAL",
    "backbone": "deit_tiny_patch16_224",
    "pretrained": True,
    "split": "official",
    "warmup_epochs": 0.0,
    "gradient_clip": None,
}

# GAttANet's networks and data sets. The paper's learning rates, epochs, layers and widths were not at hand: these are
# usual values, so that a result is set beside our own baseline (attention="none"), never beside the paper's numbers.
_GATTANET = {**_PLAIN, "attention": "gatta", "gatta_dim": 64, "gatta_passes": 2, "warmup_epochs": 5.0}
_CIFAR = {"dataset": "CIFAR10", "split": "official", "batch_size": 128}  # or CIFAR100

# ILSVRC's `train` folder as the data root, of which a part is held out for the test: its validation images come in one
# folder without classes. The cache of decoded pixels takes 190 GB; from shards (`--dataset shards`), nothing.
_IMAGENET = {
    "dataset": "imagefolder",
    "backbone": "resnet50",
    "image_size": 224,
    "val_fraction": 0.02,
    "test_fraction": 0.04,  # about 50,000 images, as many as the official validation set has
    "optimizer": "Nesterov",
    "loader_workers": 8,
}

# For DCAL in seconds or minutes on two cores.
_SMALL = {**_DCAL, **_ADAMW, "pretrained": False, "depth": 3, "drop_path": 0.0, "gradient_clip": 5.0, "lr": 2e-3}

# A ViT that learns from few images, since its patches, of 8×8 pixels, are cut from the features of a convolutional stem,
# as those of the paper's R50-ViT-B are. On phantom-birds a plain ViT of its size, timm's smallest, and this one half as
# wide are hardly away from chance after four epochs. So is this one in some seeds with larger batches or lower rates: it
# takes a number of steps to get away from there.
_SMALL_FGVC = {
    **_SMALL,
    "dataset": "phantom-birds",
    "backbone": "vit_tiny_r_s16_p8_224",
    "patch_size": 2,
    "warmup_epochs": 0.5,
    "batch_size": 4,
}

# From scratch, batch-hard triplets of four images an identity pull all images to one point within an epoch, where the
# loss stays at log 2 and cross-entropy learns nothing either; with two the network gets away from there. Patches of 8
# pixels find half as much as those of 4, and erasing costs more epochs than there are.
_SMALL_REID = {
    **_SMALL,
    "task": "reid",
    "dataset": "phantom-people",
    "backbone": "test_vit",  # timm's smallest: 64 dimensions, 2 heads
    "image_size": 64,
    "image_width": 32,
    "augmentation": "none",
    "warmup_epochs": 1.0,
    "batch_size": 16,
    "images_per_identity": 2,
    "precision": "32",
    "val_fraction": 0.2,
    "top_ratio": 0.3,
}

# GLSA's task and its control, from scratch and in seconds.
_DISCS = {
    **_PLAIN,
    **_ADAMW,
    "split": "official",
    "backbone": "toynet",
    "attention": "CBAM",
    "fusion_strategy": "learnable_gate",
    "lr": 3e-3,
    "warmup_epochs": 0.5,
    "batch_size": 10,
    "precision": "32",
}

# DCAL's tasks, from scratch and in seconds: a patch is a tile of the mosaics.
_MOSAIC = {
    **_SMALL,
    "backbone": "test_vit",
    "depth": 2,
    "patch_size": 8,
    "batch_size": 32,
    "warmup_epochs": 0.3,
    "max_epoch": 3,
    "precision": "32",
}

# LESA's and GAttANet's tasks, in seconds: each tile is one patch, which neither turns nor moves. The weights know glyphs of
# other kinds; attention, what stands in its place, and the head are drawn.
_GLYPHS = {
    **_PLAIN,
    **_ADAMW,
    "backbone": "resnet14_patches",
    "weights": "resnet14_patches",
    "split": "official",
    "lr": 2e-2,
    "batch_size": 32,
    "warmup_epochs": 0.2,
    "max_epoch": 2,
    "precision": "32",
}
# Without its LayerNorm the agreement grows with the features, and does not bear so high a rate.
_FIGURES = {**_GLYPHS, "attention": "gatta", "gatta_norm": "layer"}

# From weights that have learned to see other people before other cameras. The flip test is worth two to three points of mAP
# and of rank 1, with which each of ten networks (five seeds of SA, five of DCAL) finds more than raw pixels do, by either.
_SEEN_PEOPLE = {
    "weights": "test_vit",
    "patch_size": 4,
    "max_epoch": 2,
    "lr": 1e-3,
    "warmup_epochs": 0.3,
    "flip_test": True,
}

PROFILES: dict[str, dict[str, Any]] = {
    "smoke": {**_MODERN, "image_size": 32, "limit_images": 600, "max_epoch": 2, "batch_size": 32},
    # at the data set's own image size
    "quick": {**_FINE_TUNED, "max_epoch": 10, "batch_size": 64, "lr": 1.5e-3, "warmup_epochs": 0.5},
    # `quick` on drawn data: seconds. Twice that rate undoes more of what the weights know than two epochs bring back. Its loss
    # is for balanced accuracy, which is measured; real lesions have not shown that they gain by it.
    "quick-drawn": {
        **_FINE_TUNED,
        "loss_type": "logit_adjusted",
        "max_epoch": 2,
        "batch_size": 32,
        "lr": 1e-3,
        "warmup_epochs": 0.3,
    },
    "full": {**_MODERN, **_RESNET50, "max_epoch": 40, "batch_size": 64, "lr": 3e-4},
    "paper": {
        **_RESNET50,
        "max_epoch": 100,
        "batch_size": 32,
        "lr": 1e-3,
        "loss_type": "focal",
        "lr_scheduler": "ReduceLROnPlateau",
        "early_stopping_patience": 15,
    },
    # DCAL, section 4.1. The rate is 5e-4/512 times the batch. The paper names Adam; its weight decay is that of DeiT's
    # AdamW, which leaves the gradient's moments alone.
    "fgvc": {
        **_DCAL,
        **_ADAMW,
        "dataset": "CUB-200-2011",
        "image_size": 448,
        "lr": 5e-4 / 512 * 16,
        "batch_size": 16,
        "max_epoch": 100,
        "top_ratio": 0.1,
    },
    "reid": {
        **_DCAL,
        "task": "reid",
        "dataset": "Market-1501",
        "image_size": 256,
        "image_width": 128,  # vehicles: see profile_config
        "optimizer": "SGD",
        "weight_decay": 1e-4,
        "lr": 0.008,
        "batch_size": 64,  # 16 identities × 4
        "max_epoch": 120,
        "top_ratio": 0.3,
    },
    # From weights that have learned to see other kinds of birds, which ship; GLCA and the heads are drawn.
    "fgvc-quick": {
        **_SMALL_FGVC,
        "weights": "vit_tiny_r_s16_p8_224",
        "max_epoch": 2,
        "limit_images": 400,
        "batch_size": 8,
        "lr": 5e-4,
        "warmup_epochs": 0.3,
        "precision": "32",  # three times as fast as bf16 where maps are as small as these
    },
    "fgvc-smoke": {**_SMALL_FGVC, "max_epoch": 2, "limit_images": 120, "image_size": 32, "batch_size": 8},
    "reid-quick": {**_SMALL_REID, **_SEEN_PEOPLE},
    # Weights that know other people by what stays when they change clothes. At 1e-3 they forget some of it, and a second
    # epoch adds nothing (chosen on a wardrobe of another seed).
    "wardrobe": {
        **_SMALL_REID,
        **_SEEN_PEOPLE,
        "dataset": "phantom-wardrobe",
        "weights": "test_vit_wardrobe",
        "lr": 3e-4,
        "max_epoch": 1,
    },
    "reid-smoke": {**_SMALL_REID, "patch_size": 8, "max_epoch": 1, "limit_images": 320, "batch_size": 8},
    # At 3e-3 (four epochs, half of one to warm up) one training in eight hardly learns; which, a rounding decides.
    "pairs": {**_DISCS, "dataset": "phantom-pairs", "lr": 2e-3, "warmup_epochs": 1.0, "max_epoch": 3},
    # From weights that know other gratings, which ship: no fusion and no residual ends at chance, as some do from scratch.
    # Batches of ten take a fifth more time, for -1 to +3 points (two seeds, each fusion, pictures of another seed).
    "pairs-tuned": {
        **_DISCS,
        "dataset": "phantom-pairs",
        "weights": "toynet",
        "batch_size": 20,
        "lr": 4e-3,
        "max_epoch": 2,
    },
    # Told at one place, it is learned in half of the steps.
    "single": {**_DISCS, "dataset": "phantom-single", "batch_size": 20, "lr": 4e-3, "max_epoch": 2},
    "needles": {**_MOSAIC, "dataset": "phantom-needles"},
    "marks": {**_MOSAIC, "dataset": "phantom-marks", "max_epoch": 5},
    "gattanet-toynet": {
        **_GATTANET,
        **_CIFAR,
        **_ADAMW,
        "backbone": "toynet",
        "image_size": 32,
        "lr": 1e-3,
        "max_epoch": 50,
    },
    "gattanet-resnet": {
        **_GATTANET,
        **_CIFAR,
        "backbone": "resnet18",
        "image_size": 64,  # enlarged twice: torchvision's stem would leave `layer4` a single position at 32 pixels
        "optimizer": "Nesterov",
        "weight_decay": 5e-4,
        "lr": 0.1,
        "max_epoch": 100,
    },
    "gattanet-imagenet": {
        **_GATTANET,
        **_IMAGENET,
        "weight_decay": 1e-4,
        "lr": 0.1,
        "batch_size": 256,
        "max_epoch": 90,
    },
    # In two epochs LESA knows the neighbourhood in some seeds only.
    "scales": {**_GLYPHS, "dataset": "phantom-scales", "attention": "lesa", "lr": 3e-2, "max_epoch": 3},
    "ambiguous": {**_FIGURES, "dataset": "phantom-ambiguous"},
    "clear": {**_FIGURES, "dataset": "phantom-clear"},
    # LESA, section 4.1: 95 epochs and 5 of warm-up, rate 0.05 at batch 512. The share of one of the paper's four GPUs; the
    # whole is `--devices 4 --batch_size 512`.
    "lesa-imagenet": {
        **_PLAIN,
        **_IMAGENET,
        "attention": "lesa",
        "weight_decay": 8e-5,
        "lr": 0.05 / 512 * 128,
        "batch_size": 128,
        "warmup_epochs": 5.0,
        "max_epoch": 100,
        "gradient_clip": None,
    },
}

SMOKE = {"max_epoch": 1, "limit_images": 160}  # of a drawn task: it is gone through, and shows nothing
DRAWN = "phantom-"  # how the names of drawn data sets begin
OF_THE_PROFILE = "profile"  # as a name, such as `weights`, since none is a choice of its own
LINEAR = ("fgvc", "lesa-imagenet")  # the rate goes with the batch, which is that of all devices together


def profile_config(profile: str = "quick", **settings: Any) -> RunConfig:
    """A RunConfig at the sizes of `profile`; a setting that is not None wins over the profile's.

    "profile" leaves the profile's name, such as that of a sampler, where `none` is one. `quick` means `quick-drawn` where data are drawn: the weights that ship have
    learned from drawn images, and need fewer epochs there.

    The learning rate of the recipes in LINEAR follows `batch_size`, unless it is given. A profile's patches are those of
    its own backbone; another one comes with its own. Where a profile starts from weights that ship, another backbone
    starts from those of its own name, or from scratch where there are none. A profile's width is for data sets whose images
    are higher than wide, people; vehicles are shown as squares. The official split of DCAL's fine-grained recipes is that of
    birds, cars and aircraft; other data are split by lesion.

    Pretrained weights of a profile give way to `weights`, and to a backbone that has none.

    Raises:
        WorkbookValueError: an unknown profile or setting.
    """
    profile = choose("profile", profile, PROFILES)
    settings = {name: value for name, value in settings.items() if not _left_to_the_profile(name, value)}
    data = choose("dataset", settings.get("dataset") or "phantom-lesions", DATASETS)
    if profile == "quick" and data.startswith(DRAWN):
        profile = "quick-drawn"
    values = dict(PROFILES[profile])
    if data == SHARDS:
        values |= {"sampler": "none", "limit_images": None}  # what a stream can do
    if settings.get("backbone") not in (None, values.get("backbone")):
        values.pop("patch_size", None)  # it is that of the profile's own backbone: of a stem's features, not of pixels
        if "weights" in values:
            values["weights"] = settings["backbone"] if settings["backbone"] in shipped_names() else NO_WEIGHTS
    if settings.get("pretrained"):
        values.pop("weights", None)
    if settings.get("weights") not in (None, NO_WEIGHTS) or not has_pretrained(
        settings.get("backbone") or values.get("backbone", "resnet18")
    ):
        values.pop("pretrained", None)
    values |= {name: value for name, value in settings.items() if value is not None}
    if profile in LINEAR and settings.get("lr") is None:
        values["lr"] *= values["batch_size"] / PROFILES[profile]["batch_size"]
    dataset = choose("dataset", values.get("dataset", "phantom-lesions"), DATASETS)
    augmentation = DATASETS[dataset].augmentation
    height, width = height_and_width(DATASETS[dataset].quick_size)
    if height == width and settings.get("image_width") is None:  # people are upright, vehicles are not
        values["image_width"] = None
    if profile.startswith("fgvc") and settings.get("split") is None and augmentation != "fine_grained":
        values["split"] = "lesion"
    if "image_size" not in values:
        values |= {"image_size": height, "image_width": None if width == height else width}
    return RunConfig.from_dict(values)


def _left_to_the_profile(name: str, value: Any) -> bool:
    is_name = name == "weights" or (name in SETTINGS and SETTINGS[name].metadata["choices"] is not None)
    return value == OF_THE_PROFILE and is_name


def seed_config(settings: Mapping[str, Any]) -> RunConfig:
    """The run of GL-Attention's command line, without a profile: like that one's, and like the `paper` profile, it starts from
    ImageNet weights, unless anything else is said, the data are built in, or its backbone has none."""
    config = RunConfig.from_dict(dict(settings))
    said = {"pretrained", "weights"} & settings.keys()
    of_its_kind = config.attention in {*LOCAL_ATTENTION, "none"} and not DATASETS[config.dataset].built_in
    return config if said or not of_its_kind else config.replace(pretrained=has_pretrained(config.backbone))


def config_of(parameters: Mapping[str, Any]) -> RunConfig:
    """The run that the training notebook makes with `parameters`; those of them that are no settings are left out.

    Raises:
        WorkbookValueError: an unknown profile, or a value that a setting cannot have.
    """
    return profile_config(**{name: value for name, value in parameters.items() if name in {*SETTINGS, "profile"}})


def lesa_settings(profile: str, dataset: str | None, backbone: str | None) -> dict[str, Any]:
    """What LESA is trained by where it is not said: without a data set by the task that was drawn for it, whose recipe
    is `scales`; on other data its backbone has to have bottlenecks."""
    preset = PROFILES[choose("profile", profile, PROFILES)]
    if dataset is None and "dataset" not in preset:
        return {"profile": "scales", **(SMOKE if profile == "smoke" else {})}
    own = None if profile == "quick" else preset.get("backbone")  # whose network for other attention has none
    return {"backbone": backbone or own or "resnet26_small"}
