"""Weights that ship: they load whole or not at all, and are part of what a run is."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib import create_dcal_model, create_model, train
from lib.backbones import build_backbone
from lib.errors import WorkbookFileError, WorkbookValueError
from lib.training import RunConfig, profile_config
from lib.training.build_model import build_model
from lib.weights import export, shipped, shipped_files, shipped_names, start_from

TOY = {"backbone": "toynet", "attention": "none", "image_size": 32}
VIT = {"backbone": "test_vit", "attention": "DCAL", "image_size": 64, "image_width": 32, "patch_size": 8}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of weights with two files: `toy`, of the toy network, and `eyes`, of timm's smallest ViT."""
    monkeypatch.setattr(shipped_files, "FOLDER", tmp_path)
    torch.manual_seed(1)
    export(build_backbone("toynet", 3).net, "toy", "toynet", "dense2", (32, 32), {"settings": {"seed": 1}})
    vit = create_dcal_model("test_vit", 3, img_size=(64, 32), patch_size=8, glca=False, pwca=False).vit
    export(vit, "eyes", "test_vit", "head", (64, 32), {"settings": {}})
    return tmp_path


def rewrite(folder, change_tensors=lambda tensors: tensors, **metadata):
    """The file `toy` with other tensors, or other words on them."""
    said = shipped("toy")
    words = {"network": "toynet", "head": "dense2", "size": "[32, 32]", "digest": said.digest, "provenance": "{}"}
    tensors = change_tensors(load_file(folder / "toy.safetensors"))
    save_file(tensors, folder / "toy.safetensors", words | metadata)
    return tensors


def test_a_network_starts_from_what_ships_and_draws_the_rest():
    stored = load_file(shipped("toy").file)
    for attention in ("none", "CBAM", "gatta"):
        torch.manual_seed(0)
        model = create_model("toynet", num_classes=5, attn_type=attention, weights="toy")
        torch.manual_seed(0)
        drawn = create_model("toynet", num_classes=5, attn_type=attention).state_dict()
        state, taken = model.state_dict(), set()
        for name, tensor in stored.items():
            (place,) = (own for own in state if own.endswith(f"net.{name}"))
            assert torch.equal(state[place], tensor.to(state[place].dtype))
            taken.add(place)
        assert all(torch.equal(state[name], drawn[name]) for name in {*state} - taken)


def test_half_precision_loses_less_than_a_thousandth():
    torch.manual_seed(1)
    exact, net = build_backbone("toynet", 3).net, build_backbone("toynet", 3).net
    start_from("toy", net, net, "toynet", [net.dense2])
    for name, tensor in shipped_files.without_head(exact, "dense2").items():
        assert torch.allclose(net.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)
    stored = load_file(shipped("toy").file)
    assert {tensor.dtype for tensor in stored.values() if tensor.ndim > 1} == {torch.float16}
    assert all(tensor.dtype != torch.float16 for tensor in stored.values() if tensor.ndim < 2)


def test_a_vit_starts_at_another_image_size():
    same = create_dcal_model("test_vit", 4, img_size=(64, 32), patch_size=8, weights="eyes").vit
    larger = create_dcal_model("test_vit", 4, img_size=(128, 64), patch_size=8, weights="eyes").vit
    assert same.pos_embed.shape[1] == 33
    assert larger.pos_embed.shape[1] == 129
    assert torch.equal(same.blocks[0].attn.qkv.weight, larger.blocks[0].attn.qkv.weight)
    means = (table.pos_embed[:, 1:].mean(1) for table in (same, larger))
    assert torch.allclose(*means, atol=1e-2)


def test_none_is_from_scratch_and_outside_the_hash():
    scratch = RunConfig(**TOY)
    assert "weights" in scratch.idle
    assert scratch.replace(weights="none") == scratch
    assert scratch.replace(weights="toy").hash != scratch.hash
    assert scratch.replace(weights="TOY") == scratch.replace(weights="toy")
    assert scratch.replace(weights="toy").cost == scratch.cost
    assert json.loads(json.dumps(scratch.replace(weights="toy").to_dict()))["weights"] == "toy"


def test_other_weights_under_the_same_name_are_another_run():
    before = RunConfig(**TOY, weights="toy").hash
    export(build_backbone("toynet", 3).net, "toy", "toynet", "dense2", (32, 32), {"settings": {}})
    assert RunConfig(**TOY, weights="toy").hash != before


def test_a_run_is_built_with_them_but_not_where_weights_are_loaded_next(monkeypatch):
    config = RunConfig(**TOY, weights="toy")
    stored = load_file(shipped("toy").file)
    assert torch.equal(build_model(config, 2).net.conv1[0].weight, stored["conv1.0.weight"].float())
    eyes = build_model(RunConfig(**VIT, weights="eyes"), 2).vit
    assert torch.equal(eyes.norm.weight, load_file(shipped("eyes").file)["norm.weight"])
    monkeypatch.setattr(shipped_files, "load_file", None)
    build_model(config, 2, pretrained=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TOY | {"weights": "toi"}, "Unknown weights 'toi'. Did you mean 'toy'.*none, eyes, toy"),
        (
            TOY | {"weights": "eyes"},
            "weights 'eyes' are of test_vit, not of toynet: take 'toy', or take backbone='test_vit'",
        ),
        ({"weights": "toy"}, "of toynet, not of resnet18: train from scratch"),
        (TOY | {"weights": "toy", "pretrained": True}, "two beginnings"),
    ],
)
def test_weights_that_cannot_be_are_refused_where_they_are_named(settings, message):
    with pytest.raises(WorkbookValueError, match=message):
        RunConfig(**settings)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda tensors: tensors | {"more": torch.zeros(2)}, "more has no place"),
        (lambda tensors: {n: t for n, t in tensors.items() if n != "conv1.1.bias"}, "conv1.1.bias is not there"),
        (lambda tensors: tensors | {"conv1.1.bias": torch.zeros(3)}, r"conv1.1.bias is \[3\], not \["),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(folder, change, what):
    tensors = change(load_file(folder / "toy.safetensors"))
    rewrite(folder, lambda _: tensors, digest=shipped_files.digest_of(tensors))
    net = build_backbone("toynet", 3).net
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(WorkbookValueError, match=what):
        start_from("toy", net, net, "toynet", [net.dense2])
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_damaged_file_is_named_with_its_remedy(folder):
    net = build_backbone("toynet", 3).net
    rewrite(folder, lambda tensors: {name: tensor + 1 for name, tensor in tensors.items()})
    with pytest.raises(WorkbookFileError, match="digest .* and it says .*git checkout"):
        start_from("toy", net, net, "toynet", [net.dense2])
    (folder / "toy.safetensors").write_bytes(b"not weights")
    with pytest.raises(WorkbookFileError, match=r"toy.safetensors is damaged .*weights='none'"):
        start_from("toy", net, net, "toynet", [net.dense2])
    save_file({"a": torch.zeros(1)}, folder / "toy.safetensors")
    with pytest.raises(WorkbookFileError, match="is damaged"):
        shipped("toy")


def test_a_profiles_weights_go_with_its_backbone(monkeypatch):
    monkeypatch.setitem(profile_config.__globals__["PROFILES"], "toy", {**TOY, "weights": "toy"})
    assert profile_config("toy").weights == "toy"
    assert profile_config("toy", weights=None).weights == profile_config("toy", weights="profile").weights == "toy"
    assert profile_config("toy", weights="none").weights == "none"
    assert profile_config("toy", backbone="resnet18").weights == "none"
    assert profile_config("toy", backbone="resnet18", pretrained=True).weights == "none"
    assert profile_config("toy", pretrained=True).weights == "none"
    export(build_backbone("resnet26_small", 3).net, "resnet26_small", "resnet26_small", "fc", (64, 64), {})
    assert profile_config("toy", backbone="resnet26_small").weights == "resnet26_small"
    assert shipped_names() == ["eyes", "resnet26_small", "toy"]


def test_the_command_line_takes_them():
    settings = vars(train.build_parser().parse_args(["--backbone", "toynet", "--weights", "none"]))
    assert settings["weights"] == "none"
