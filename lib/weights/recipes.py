"""How the starting weights that ship were made: an ordinary run each, on drawn images of kinds that no test has.

A name in RECIPES is that of the weights. `train` makes the run and writes the file; `rehearse` makes the same run on few
images, whose losses stand in the file, so that anybody can see that the recipe still does what it did.
"""

from datetime import UTC, datetime
from typing import Any

from torch import nn

from lib.dcal.model import DCALNet
from lib.training import RunConfig, RunStore, fit
from lib.training.store import Run
from lib.training.training_data import load_images
from lib.weights.shipped_files import Shipped, export

# All that counts is said in the recipes, so that no change of a profile makes the weights other than their recipe.

# What those of the small ResNets have in common.
_PATTERNS = {
    "dataset": "phantom-patterns",
    "split": "official",
    "limit_images": 7200,
    "image_size": 64,
    "attention": "none",
    "weights": "none",
    "sampler": "sqrt",
    "loss_type": "label_smoothing",
    "optimizer": "AdamW",
    "weight_decay": 0.05,
    "lr": 2e-3,
    "lr_scheduler": "CosineWarmup",
    "warmup_epochs": 0.5,
    "batch_size": 64,
    "precision": "32",
}

# What those of DCAL's small networks have in common.
_VIT = {
    "attention": "SA",
    "weights": "none",
    "split": "official",
    "sampler": "none",
    "loss_type": "cross_entropy",
    "depth": 3,
    "drop_path": 0.0,
    "optimizer": "AdamW",
    "weight_decay": 0.05,
    "lr_scheduler": "CosineWarmup",
    "early_stopping_patience": None,
    "gradient_clip": 5.0,
}

RECIPES: dict[str, dict[str, Any]] = {
    "vit_tiny_r_s16_p8_224": {
        **_VIT,
        "dataset": "phantom-birds-other",
        "limit_images": 3500,
        "image_size": 64,
        "backbone": "vit_tiny_r_s16_p8_224",
        "patch_size": 2,
        "batch_size": 8,
        "lr": 1e-3,
        "warmup_epochs": 0.5,
        "max_epoch": 14,
        "precision": "32",
    },
    "test_vit": {
        **_VIT,
        "task": "reid",
        "dataset": "phantom-people-other",
        "limit_images": 2000,
        "image_size": 64,
        "image_width": 32,
        "augmentation": "none",
        "backbone": "test_vit",  # timm's smallest: 64 dimensions, 2 heads
        "patch_size": 4,
        "batch_size": 16,
        "images_per_identity": 2,
        "lr": 2e-3,
        "warmup_epochs": 1.0,
        "max_epoch": 6,
        "precision": "32",
    },
    # From what `test_vit` knows, without which the network takes a thousand steps to get away from chance. Classes instead of
    # identities: where clothes change, the triplets pull all people to one point, and nothing was learned in 600 steps.
    "test_vit_wardrobe": {
        **_VIT,
        "dataset": "phantom-wardrobe-other",
        "limit_images": 7200,
        "image_size": 64,
        "image_width": 32,
        "augmentation": "none",
        "backbone": "test_vit",
        "weights": "test_vit",
        "patch_size": 4,
        "batch_size": 16,
        "lr": 2e-3,
        "warmup_epochs": 0.5,
        "max_epoch": 8,
        "precision": "32",
    },
    "toynet": {
        "dataset": "phantom-gratings",
        "split": "official",
        "limit_images": 2400,
        "image_size": 32,
        "backbone": "toynet",
        "attention": "none",
        "weights": "none",
        "sampler": "none",
        "loss_type": "cross_entropy",
        "optimizer": "AdamW",
        "weight_decay": 0.05,
        "lr": 3e-3,
        "lr_scheduler": "CosineWarmup",
        "warmup_epochs": 0.5,
        "batch_size": 32,
        "max_epoch": 8,
        "precision": "32",
    },
    # Without attention, so without its own layer: what the patches show is learned, and nothing of how they are brought together
    # that the tasks ask for.
    "resnet14_patches": {
        "dataset": "phantom-glyphs-other",
        "split": "official",
        "limit_images": 7200,
        "image_size": 40,
        "backbone": "resnet14_patches",
        "attention": "none",
        "weights": "none",
        "sampler": "none",
        "loss_type": "cross_entropy",
        "optimizer": "AdamW",
        "weight_decay": 0.05,
        "lr": 1e-2,
        "lr_scheduler": "CosineWarmup",
        "warmup_epochs": 0.5,
        "batch_size": 32,
        "max_epoch": 4,
        "precision": "32",
    },
    "resnet18_small": {**_PATTERNS, "backbone": "resnet18_small", "max_epoch": 16},
}

REHEARSED = ("train_loss", "val_loss")  # columns of training_log.csv
REHEARSAL = {"limit_images": 240, "max_epoch": 1}


def recipe(name: str) -> RunConfig:
    """The run that the weights `name` come from."""
    return RunConfig.from_dict(RECIPES[name])


def rehearse(name: str, store: RunStore) -> dict[str, float]:
    """The losses after a first epoch of a few steps, trained on few images."""
    log = fit(recipe(name).replace(**REHEARSAL), store).log
    return {column: float(log[column].iloc[0]) for column in REHEARSED}


def train(name: str, store: RunStore) -> Shipped:
    """Make the run, which takes minutes, and write its network as the weights `name`."""
    config, run = recipe(name), fit(recipe(name), store)
    net, head = bare(run.model())
    return export(
        net, name, config.backbone, head, config.size, told(config, run) | {"rehearsal": rehearse(name, store)}
    )


def bare(model: nn.Module) -> tuple[nn.Module, str]:
    """The backbone's own network in a model without attention, or with self-attention alone, and the name of its head."""
    return (model.vit, "head") if isinstance(model, DCALNet) else (model.net, model.head)


def told(config: RunConfig, run: Run) -> dict[str, Any]:
    """Where weights come from."""
    changed = {name: value for name, value in config.to_dict().items() if value != getattr(RunConfig(), name)}
    return {
        "settings": changed,
        "classes": list(load_images(config).classes),
        "test": run.metrics["test"],
        **{name: run.provenance[name] for name in ("images", "data_fingerprint", "versions", "train_seconds")},
        "made": datetime.now(UTC).date().isoformat(),
    }
