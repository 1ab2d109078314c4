"""RunConfig: what it refuses, what its hash follows, how names are found."""

import dataclasses
import inspect
import json
from functools import partial

import pytest
import timm
import torch

from lib import create_dcal_model, create_model
from lib.errors import WorkbookValueError
from lib.models import WRAPPERS
from lib.paths import ROOT
from lib.training import PROFILES, RunConfig, profile_config
from lib.training.build_model import build_model
from lib.training.losses import LOSSES, build_loss
from lib.training.optimisers import LR_SCHEDULERS, build_optimisation
from lib.training.profiles import SMOKE, lesa_settings
from lib.training.settings import SETTINGS


def test_names_are_normalised_so_equal_runs_have_equal_hashes():
    a = RunConfig(backbone="ResNet18", attention="cbam", optimizer="adamw", dataset="ham10000")
    b = RunConfig(backbone="resnet18", attention="CBAM", optimizer="AdamW", dataset="HAM10000")
    assert a == b
    assert a.hash == b.hash
    assert a.name == f"HAM10000-resnet18-CBAM-original-original-s0-{a.hash}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"fusion_strategy": "learnable_gat"},
            "Unknown fusion_strategy 'learnable_gat'. Did you mean 'learnable_gate'",
        ),
        ({"backbone": "resnet19"}, "Unknown backbone"),
        ({"lr": "fast"}, r"lr='fast' is of type str; it must be float"),
        ({"batch_size": 3.5}, "batch_size=3.5 is of type float; it must be int"),
        ({"batch_size": True}, "batch_size=True is of type bool"),
        ({"max_epoch": 0}, "max_epoch=0 must be at least 1"),
        ({"lr": 0.0}, "lr=0.0 must be above 0"),
        ({"label_smoothing": 1.0}, r"label_smoothing=1.0 must be at least 0 and below 1"),
        ({"weight_decay": -1.0}, "must be finite and not negative"),
        ({"lr": float("inf")}, "lr=inf must be above 0 and finite"),
        ({"lr": 10**400}, "lr is a number of 1329 bits; it must be one of 63 at most"),
        ({"lr": 1e39}, r"lr=1e\+39 must be above 0 and finite in 32 bits"),
        ({"seed": 2**63}, "seed is a number of 64 bits; it must be one of 63 at most"),
        ({"split_seed": 10**5000}, "split_seed is a number of 16610 bits"),
        ({"image_size": 10**9}, r"image_size=1000000000 must be at least 32 and at most 16,384"),
        ({"focal_alpha": [10**400]}, "focal_alpha is a number of 1329 bits"),
        ({"focal_alpha": -1.0}, "focal_alpha=-1.0 must be above 0"),
        ({"focal_alpha": ["a"]}, "focal_alpha='a'"),
        ({"attention": "gatta", "gatta_layers": [3]}, "gatta_layers=3 is of type int; it must be str"),
        ({"attention": "gatta", "gatta_norm": "laier"}, "Unknown gatta_norm 'laier'. Did you mean 'layer'"),
    ],
)
def test_bad_values_are_named(change, message):
    with pytest.raises(WorkbookValueError, match=message):
        RunConfig(**change)


@pytest.mark.parametrize("name", [name for name, field in SETTINGS.items() if field.metadata["choices"] is not None])
def test_a_name_that_is_none_is_an_error_whatever_role_it_plays(name):
    for attention in ("none", "lesa", "SA"):
        with pytest.raises(WorkbookValueError, match=f"Unknown {name} 'mispelt'"):
            RunConfig(**{"backbone": "resnet14_patches", "attention": attention, name: "mispelt"})


def test_a_name_that_plays_no_role_is_legal_and_spelt_as_one_that_does():
    config = RunConfig(attention="none", fusion_strategy="Learnable-Gate", selection="random", gatta_norm="layer")
    assert (config.fusion_strategy, config.selection) == ("learnable_gate", "random")
    assert {"fusion_strategy", "selection", "gatta_norm"} <= config.idle


def test_a_stored_run_may_hold_a_name_that_is_registered_elsewhere_where_it_plays_no_role():
    told = {**RunConfig(attention="none", residual_strategy="progressive").to_dict(), "fusion_strategy": "mine"}
    assert RunConfig.stored(told) == RunConfig(attention="none", residual_strategy="progressive")
    with pytest.raises(WorkbookValueError, match="Unknown fusion_strategy 'mine'"):
        RunConfig.stored(told | {"attention": "CBAM"})


def test_an_unknown_setting_suggests_the_nearest():
    with pytest.raises(WorkbookValueError, match="Unknown setting 'learning_rat'"):
        RunConfig.from_dict({"learning_rat": 1e-3})
    with pytest.raises(WorkbookValueError, match="Did you mean 'batch_size'"):
        profile_config("quick", batchsize=3)
    with pytest.raises(WorkbookValueError, match="Unknown profile 'quik'. Did you mean 'quick'"):
        profile_config("quik")


@pytest.mark.parametrize("loss", [{"loss_type": "class_balanced"}, {"focal_alpha": (1.0,) * 7}])
def test_sampler_and_class_weights_are_refused_unless_asked_for(loss):
    with pytest.raises(WorkbookValueError, match="correct the imbalance twice"):
        RunConfig(sampler="sqrt", **loss)
    RunConfig(sampler="none", **loss)
    RunConfig(sampler="sqrt", allow_double_correction=True, **loss)


def test_the_hash_follows_what_is_computed_and_nothing_else():
    base = RunConfig()
    aside = {"device": "cpu", "verbose": True, "wandb_project": "p", "wandb_run": "r"}
    aside |= {"mlflow_experiment": "e", "tensorboard": True}
    other = {
        "lr": 0.5,
        "seed": 1,
        "dataset": "digits",
        "focal_alpha": None,
        "split": "image",
        "pretrained": True,
        "precision": "32",
    }
    for name, value in aside.items():
        assert base.replace(**{name: value}).hash == base.hash, name
    for name, value in other.items():
        assert base.replace(**{name: value}).hash != base.hash, name
    bare = base.replace(attention="none")
    assert bare.hash == bare.replace(fusion_strategy="cross_attn", num_heads=4).hash != base.hash


def test_a_width_counts_where_there_is_a_block_and_full_leaves_the_name_as_it_was():
    lean = RunConfig(glsa_width="Lean")
    assert lean.arguments("network")["width"] == "lean"
    assert RunConfig(glsa_width="full").hash == RunConfig().hash != lean.hash
    assert lean.replace(attention="none").hash == RunConfig(attention="none").hash


def test_a_config_survives_json():
    config = RunConfig(focal_alpha=(0.1,) * 7, sampler="none", data_root="somewhere")
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


BUILDERS = {
    "network": [create_model, create_dcal_model, timm.models.VisionTransformer, *WRAPPERS.values()],
    "loss": [build_loss, *LOSSES.values()],
    "optimisation": [build_optimisation, *(build for build, _ in LR_SCHEDULERS.values() if build)],
}


def test_a_setting_tells_which_argument_of_its_builder_it_is():
    for name, field in SETTINGS.items():
        if builder := field.metadata["system"].builder:
            known = {argument for build in BUILDERS[builder] for argument in inspect.signature(build).parameters}
            assert (field.metadata["argument"] or name) in known | {"depth"}
        assert field.metadata["help"].endswith(".")


def test_a_run_gives_its_builders_what_plays_a_role_in_it():
    gatta = RunConfig(attention="gatta", gatta_dim=32, gatta_norm="layer", num_heads=4)
    assert gatta.arguments("network") == {"dim": 32, "passes": 2, "norm": "layer", "freeze": False}
    told = gatta.replace(gatta_layers="layer3, layer4", gatta_alpha_init=0.1)
    assert told.arguments("network").items() >= {"layers": ("layer3", "layer4"), "alpha_init": 0.1}.items()
    assert RunConfig.from_dict(json.loads(json.dumps(told.to_dict()))).hash == told.hash != gatta.hash
    assert RunConfig(attention="none").arguments("network") == {}
    focal = {"name": "focal", "sampler": "sqrt", "alpha": 0.25, "gamma": 2.0, "smoothing": 0.1, "beta": 0.999}
    assert RunConfig().arguments("loss") == focal
    bare, costs = RunConfig(attention="none"), {"attention", "backbone", "loss_type", "optimizer", "gradient_clip"}
    assert set(bare.cost) == costs | {"batch_size", "image_size", "image_width"}
    assert {"glca_readout", "pairs", "drop_path", "patch_size"} <= set(
        RunConfig(attention="DCAL", backbone="test_vit").cost
    )


def test_a_run_has_the_name_that_it_had_in_earlier_builds():
    for known in json.loads((ROOT / "tests" / "golden" / "run_names.json").read_text()):
        make = partial(profile_config, known["profile"]) if "profile" in known else RunConfig
        assert make(**known["settings"]).name == known["name"]


def test_every_profile_makes_a_config_and_settings_win():
    for name in PROFILES:
        assert isinstance(profile_config(name), RunConfig)
    assert profile_config("quick", dataset="HAM10000").image_size == 96
    assert profile_config("quick", image_size=48, max_epoch=None).image_size == 48


def test_a_quick_run_on_drawn_data_is_for_balanced_accuracy():
    assert profile_config("quick").loss_type == "logit_adjusted"
    assert profile_config("quick", loss_type="focal").loss_type == "focal"
    assert profile_config("quick", dataset="HAM10000").loss_type == "label_smoothing"


@pytest.mark.parametrize(
    ("profile", "changes", "data", "layers"),
    [
        ("gattanet-toynet", {}, ("CIFAR10", "official", 32), 4),
        ("gattanet-toynet", {"dataset": "CIFAR100"}, ("CIFAR100", "official", 32), 4),
        ("gattanet-resnet", {"dataset": "CIFAR100", "gatta_dim": 32}, ("CIFAR100", "official", 64), 3),
        ("gattanet-imagenet", {"data_root": "ILSVRC/train"}, ("imagefolder", "lesion", 224), 3),
    ],
)
def test_gattanets_networks_and_data_sets_by_name(profile, changes, data, layers):
    config = profile_config(profile, **changes)
    assert (config.dataset, config.split, config.image_size) == data
    with torch.device("meta"):
        model = build_model(config, 10)
        assert (model.passes, len(model.agreement)) == (2, layers)
        assert model.agreement[0].key.shape[1] == config.gatta_dim
        assert model(torch.empty(2, 3, config.image_size, config.image_size)).shape == (2, 10)
    assert type(build_model(config.bare, 10)) is type(model.backbone)


def test_the_name_for_weights_and_biases():
    config = RunConfig(wandb_run="experiment_v1", fusion_strategy="learnable_gate", residual_strategy="progressive")
    assert config.wandb_name == "experiment_v1_learnable_gate_progressive_CBAM"


def test_configs_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().lr = 1.0


def test_lesas_imagenet_recipe():
    config = profile_config("lesa-imagenet", data_root="ILSVRC/train")
    assert (config.backbone, config.attention, config.lesa_position) == ("resnet50", "lesa", "classification")
    assert (config.max_epoch, config.warmup_epochs, config.lr_scheduler) == (100, 5.0, "CosineWarmup")  # 95 + 5
    assert (config.optimizer, config.weight_decay) == ("Nesterov", 8e-5)
    assert config.lr * 512 / config.batch_size == pytest.approx(0.05)
    assert (config.size, config.dataset, config.gradient_clip) == ((224, 224), "imagefolder", None)


def test_lesas_settings_count_where_lesa_stands():
    lesa = RunConfig(attention="LESA", backbone="resnet26_small", lesa_position="axial")
    assert lesa.hash != lesa.replace(lesa_position="classification").hash
    assert lesa.bare == lesa.replace(attention="none")
    assert lesa.bare.hash == lesa.bare.replace(lesa_position="classification").hash
    with pytest.raises(WorkbookValueError, match="Unknown lesa_position 'axiall'. Did you mean 'axial'"):
        lesa.replace(lesa_position="axiall")
    layers = build_model(lesa.replace(image_size=96, image_width=64), 7).blocks.values()
    assert {type(layer.context.position).__name__ for layer in layers} == {"AxialPosition"}
    assert {layer.context.position.size for layer in layers} == {(12, 8)}


@pytest.mark.parametrize(
    ("dataset", "given", "split"),
    [("CUB-200-2011", None, "official"), ("HAM10000", None, "lesion"), ("HAM10000", "image", "image")],
)
def test_fine_grained_recipes_split_other_data_by_lesion(dataset, given, split):
    assert profile_config("fgvc-quick", dataset=dataset, split=given).split == split


def test_lesa_is_tried_on_its_own_task_unless_a_data_set_is_given():
    assert lesa_settings("quick", None, None) == {"profile": "scales"}
    assert lesa_settings("smoke", None, None) == {"profile": "scales", **SMOKE}
    assert lesa_settings("quick", "digits", None) == {"backbone": "resnet26_small"}
    assert lesa_settings("full", "HAM10000", None) == {"backbone": "resnet50"}
    assert lesa_settings("quick", "digits", "resnet101") == {"backbone": "resnet101"}
    assert lesa_settings("lesa-imagenet", None, None) == {"backbone": "resnet50"}
