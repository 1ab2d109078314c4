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
from lib.explain.views.explorer_maps import explorer_maps
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


def test_glsa():
    model = glsa()
    found = explorer_maps(model, IMAGES)
    for position in POSITIONS:
        maps = model.maps(position)
        for kind in ("global", "fusion"):
            row = found[f"{kind} attention"][""][:, :, position[0], position[1]]
            torch.testing.assert_close(row, maps["global_heads" if kind == "global" else "fusion_attention_heads"])
    assert found["local spatial"][""].shape == (2, 8, 8)


def test_dcal():
    model = dcal()
    found = explorer_maps(model, IMAGES)
    for position in [None, *POSITIONS]:
        maps = model.maps(position)
        for n in (1, 2, 3):
            token = "the class token" if position is None else "a patch"
            at = () if position is None else position
            rollout, heads = (found[f"{name} of {token}"][f"layer {n}"] for name in ("rollout", "attention"))
            torch.testing.assert_close(rollout[(slice(None), 0, *at)], maps[f"rollout_layer_{n}"])
            for head in (1, 2, 3):
                torch.testing.assert_close(heads[(slice(None), head - 1, *at)], maps[f"layer_{n}_head_{head}"])
    assert set(found["GLCA, selected"][""].unique().tolist()) == {0, 1}


def test_lesa():
    model = lesa()
    found = explorer_maps(model, IMAGES)
    assert list(found["gate"]) == list(found["context attention"]) == list(model.blocks)
    for block in model.blocks:
        for position in POSITIONS:
            row = found["context attention"][block][:, :, position[0], position[1]]
            torch.testing.assert_close(row, model.maps(position, block)["context_heads"])
        torch.testing.assert_close(found["gate"][block], model.maps(block=block)["gate"].mean(1))


def test_gattanet():
    model = gatta()
    found = explorer_maps(model, IMAGES)["agreement"]
    for name in model.layers:
        for n in (2, 3):
            torch.testing.assert_close(found[f"{name}, pass {n}"], model.maps()[f"agreement_{name}"][:, n - 2])


@pytest.mark.parametrize("build", [glsa, dcal, lesa, gatta])
def test_every_network_of_the_workbook_has_an_explorer(build):
    view = explorer_of({"net": build()}, PIXELS, names=["a", "b"])
    assert len(view.html) < 500_000
    assert unpacked(view)[0]["models"][0]["name"] == "net"


def test_dcal_runs_twice_once_for_its_answer_and_once_for_its_maps():
    model, calls = dcal(), []
    model.vit.patch_embed.register_forward_hook(lambda *_: calls.append(1))
    explorer_maps(model, IMAGES)
    assert len(calls) == 2


def test_maps_are_those_of_eval_mode_whatever_mode_the_network_is_in():
    model = glsa()
    quiet = explorer_maps(model, IMAGES)
    statistics = {name: t.clone() for name, t in model.named_buffers()}
    parts = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    for training in (parts[:1], model.modules()):
        for part in training:
            part.training = True
        modes = [part.training for part in model.modules()]
        found = explorer_maps(model, IMAGES)
        assert all(torch.equal(found[kind][""], each[""]) for kind, each in quiet.items())
        assert all(torch.equal(t, statistics[name]) for name, t in model.named_buffers())
        assert [part.training for part in model.modules()] == modes
    assert explorer_of({"net": model}, PIXELS).html == explorer_of({"net": model.eval()}, PIXELS).html


def test_networks_without_maps_are_refused():
    with pytest.raises(WorkbookValueError, match="Sequential has no maps of its own"):
        explorer_of({"net": nn.Sequential(nn.Flatten())}, PIXELS)
    with pytest.raises(WorkbookValueError, match="at least 2"):
        explorer_maps(
            seeded(create_model, backbone_name="resnet26_small", num_classes=4, attn_type="gatta", passes=1), IMAGES
        )


def test_networks_see_images_as_in_training_whatever_their_size():
    """As the paper's recipe keeps them: 448 pixels of 550, which patches of 16 fill."""
    seen, model = [], create_dcal_model("deit_tiny_patch16_224", 3, depth=1, embed_dim=24, num_heads=3)
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    view = explorer_of({"net": model}, np.zeros((1, 550, 550, 3), np.uint8), "fine_grained")
    assert set(seen) == {(1, 3, 448, 448)}
    assert len(view.html) < 900_000


def test_half_precision_has_an_explorer():
    assert unpacked(explorer_of({"net": gatta().bfloat16()}, PIXELS))[0]["models"]


def test_a_vit_of_another_size_is_told():
    vit = timm.create_model("vit_tiny_patch16_224", img_size=SIZE, patch_size=8, depth=1, num_classes=4)
    with pytest.raises(WorkbookValueError, match="DCALNet does not take images of 32×64 pixels"):
        explorer_maps(DCALNet(vit), IMAGES[:, :, :32])
