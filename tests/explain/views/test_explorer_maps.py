"""What is gathered from a network for every position at once is what its own `maps` say of each."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from lib import create_dcal_model, create_model
from lib.dcal import DCALNet
from lib.errors import WorkbookValueError
from lib.explain import explorer_of
from lib.explain.views.explorer_maps import network_layers
from lib.mapped import EVERY, Every
from lib.training import RunConfig
from tests.evaluation.made_images import images_of
from tests.helpers import unpacked

SIZE = 64
IMAGES = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
PIXELS = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
POSITIONS = [(0, 0), (3, 5), (7, 7)]


def seeded(build, **options):
    torch.manual_seed(0)
    return build(**options).eval()


def glsa():
    return seeded(
        create_model, backbone_name="resnet26_small", num_classes=4, fusion_strategy="cross_attn", num_heads=2
    )


def dcal():
    sizes = {"img_size": SIZE, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3}
    model = seeded(create_dcal_model, backbone_name="deit_tiny_patch16_224", num_classes=4, **sizes)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.3)
    return model


def lesa():
    return seeded(
        create_model, backbone_name="resnet26_small", num_classes=4, attn_type="lesa", image_size=(SIZE, SIZE)
    )


def gatta():
    return seeded(create_model, backbone_name="resnet26_small", num_classes=4, attn_type="gatta", passes=3)


def layers_of(model, images=IMAGES):
    """By kind and layer, all that an explorer of `model` may hold: [N, heads, rows, columns, h, w]."""
    kinds = {}
    for layer in network_layers("net", model, images):
        kinds.setdefault(layer.kind, {})[layer.name] = torch.from_numpy(layer.read(EVERY, len(images)))
    return kinds


def test_glsa():
    model = glsa()
    kinds = layers_of(model)
    assert list(kinds) == ["global attention", "fusion attention", "local spatial"]
    for position in POSITIONS:
        maps = model.maps(position)
        for name in ("global", "fusion_attention"):
            row = kinds[f"{name.split('_')[0]} attention"][""][:, :, *position]
            torch.testing.assert_close(row, maps[f"{name}_heads"])
    torch.testing.assert_close(kinds["local spatial"][""][:, 0, 0, 0], model.maps()["local_spatial"][:, 0])


def test_dcal():
    model = dcal()
    kinds = layers_of(model)
    for position in [None, *POSITIONS]:
        maps = model.maps(position)
        for n in (1, 2, 3):
            token = "the class token" if position is None else "a patch"
            rollout, heads = (kinds[f"{name} of {token}"][f"layer {n}"] for name in ("rollout", "attention"))
            at = position or (0, 0)
            torch.testing.assert_close(rollout[:, 0, *at], maps[f"rollout_layer_{n}"])
            for head in (1, 2, 3):
                torch.testing.assert_close(heads[:, head - 1, *at], maps[f"layer_{n}_head_{head}"])
    assert set(kinds["GLCA, selected"][""].unique().tolist()) == {0, 1}


def test_lesa():
    model = lesa()
    kinds = layers_of(model)
    assert list(kinds["gate"]) == list(kinds["context attention"]) == list(model.blocks)
    for block in model.blocks:
        for position in POSITIONS:
            row = kinds["context attention"][block][:, :, *position]
            torch.testing.assert_close(row, model.maps(position, block)["context_heads"])
        torch.testing.assert_close(kinds["gate"][block][:, 0, 0, 0], model.maps(block=block)["gate"].mean(1))


def test_gattanet():
    model = gatta()
    layers = layers_of(model)["agreement"]
    for name in model.layers:
        for n in (2, 3):
            agreement = model.maps()[f"agreement_{name}"][:, n - 2]
            torch.testing.assert_close(layers[f"{name}, pass {n}"][:, 0, 0, 0], agreement)


def test_only_the_query_positions_that_are_kept_are_computed():
    model = glsa()
    layer = next(network_layers("net", model, IMAGES))
    whole = layer.read(EVERY, 2)
    some = layer.read(Every(3), 1)
    np.testing.assert_allclose(some, whole[:1, :, 1::3, 1::3], atol=1e-6)
    asked = []
    model.block.attention.register_forward_hook(lambda *_: asked.append(1))
    layer.read(Every(3), 1)
    assert not asked  # what was read is not computed again


@pytest.mark.parametrize("build", [glsa, dcal, lesa, gatta])
def test_every_network_of_the_workbook_has_an_explorer(build):
    view = explorer_of({"net": build()}, PIXELS, names=["a", "b"])
    assert len(view.html) < 500_000
    assert unpacked(view)[0]["models"][0]["name"] == "net"


def test_maps_are_those_of_eval_mode_whatever_mode_the_network_is_in():
    model = glsa()
    quiet = layers_of(model)
    statistics = {name: t.clone() for name, t in model.named_buffers()}
    parts = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    for training in (parts[:1], model.modules()):
        for part in training:
            part.training = True
        modes = [part.training for part in model.modules()]
        kinds = layers_of(model)
        assert all(torch.equal(kinds[kind][""], layers[""]) for kind, layers in quiet.items())
        assert all(torch.equal(t, statistics[name]) for name, t in model.named_buffers())
        assert [part.training for part in model.modules()] == modes
    assert explorer_of({"net": model}, PIXELS).html == explorer_of({"net": model.eval()}, PIXELS).html


def test_networks_without_maps_are_refused():
    with pytest.raises(WorkbookValueError, match="Sequential has no maps of its own"):
        explorer_of({"net": nn.Sequential(nn.Flatten())}, PIXELS)
    with pytest.raises(WorkbookValueError, match="at least 2"):
        layers_of(seeded(create_model, backbone_name="resnet26_small", num_classes=4, attn_type="gatta", passes=1))


def test_networks_see_images_as_in_training_whatever_their_size():
    """As the paper's recipe keeps them: 448 pixels of 550, which patches of 16 fill."""
    seen, model = [], create_dcal_model("deit_tiny_patch16_224", 3, depth=1, embed_dim=24, num_heads=3)
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    view = explorer_of({"net": model}, np.zeros((1, 550, 550, 3), np.uint8), "fine_grained")
    assert set(seen) == {(1, 3, 448, 448)}
    assert len(view.html) < 900_000


def test_test_images_tell_the_explorer_all_that_plain_pixels_need_to_be_told(tmp_path):
    images = images_of(tmp_path, RunConfig(dataset="phantom-birds", image_size=SIZE))
    model = seeded(create_model, backbone_name="resnet26_small", num_classes=2)
    answers = images.probabilities(model).argmax(axis=1)
    view = explorer_of({"net": model.train()}, images)
    assert model.training
    told = explorer_of({"net": model}, images.pixels, images.augmentation, images.names(answers), phantom=True)
    (data, *maps), (told_data, *told_maps) = unpacked(view), unpacked(told)
    assert view.phantom
    assert images.pixels.shape[1] > SIZE  # as training keeps what it crops
    assert data["models"] == told_data["models"]
    assert all((values == told_values).all() for values, told_values in zip(maps, told_maps, strict=True))
    assert [i["name"] for i in data["images"]] == [i["name"] for i in told_data["images"]] == images.names(answers)
    two = unpacked(explorer_of({"a": model, "b": model}, images[:2]))[0]
    assert [i["name"] for i in two["images"]] == images[:2].names()
    named = unpacked(explorer_of({"net": model}, images[:2], names=["a", "b"]))[0]
    assert [i["name"] for i in named["images"]] == ["a", "b"]


def test_half_precision_has_an_explorer():
    assert unpacked(explorer_of({"net": gatta().bfloat16()}, PIXELS))[0]["models"]


def test_a_vit_of_another_size_is_told():
    vit = timm.create_model("vit_tiny_patch16_224", img_size=SIZE, patch_size=8, depth=1, num_classes=4)
    with pytest.raises(WorkbookValueError, match="DCALNet does not take images of 32×64 pixels"):
        layers_of(DCALNet(vit), IMAGES[:, :, :32])
