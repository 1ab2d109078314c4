"""The names that the projects promise which this one comes from are there, and so are those of every room's door."""

import importlib

import pytest
import torch

from lib import create_model, explain


@pytest.mark.parametrize("name", [*explain.__all__, *explain.FORMER])
def test_a_name_of_lib_explain_is_there(name):
    assert getattr(explain, name) is getattr(explain, explain.FORMER.get(name, name))


@pytest.mark.parametrize(
    ("room", "names"),
    {
        "lib": "RunConfig create_dcal_model create_model fit",
        "lib.glsa": "BAM BaseFusion CBAM FUSION_STRATEGIES GLSABlock RESIDUAL_STRATEGIES ResidualStrategy SCSE",
        "lib.dcal": "AttentionRollout AttentionRolloutHook GlobalLocalCrossAttention PairWiseCrossAttention",
        "lib.gattanet": "GAttANet",
        "lib.lesa": "lesa_backbone",
        "lib.explain": "FLOORS METHODS league_table leaderboard",
        "lib.data": "AUGMENTATIONS load_dataset load_pixels",
    }.items(),
)
def test_the_names_of_a_room_are_there(room, names):
    module = importlib.import_module(room)
    assert [name for name in names.split() if not hasattr(module, name)] == []


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        ("resnet18", {"attn_type": "CBAM", "fusion_strategy": "learnable_gate", "residual_strategy": "progressive"}),
        ("resnet18", {"attn_type": "gatta"}),
        ("lesa_resnet50", {}),
        ("lesa_wrn50", {}),
        ("resnet50", {"attn_type": "gatta"}),
    ],
)
def test_a_seeds_model_is_created(backbone, settings):
    with torch.device("meta"):
        model = create_model(backbone, pretrained=False, num_classes=7, **settings)
    assert 7 in {tensor.shape[0] for name, tensor in model.named_parameters() if name.endswith("bias")}
