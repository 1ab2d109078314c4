import copy

import pytest
import torch
from torch import nn

from lib import models
from lib.backbones import Backbone, build_backbone
from lib.errors import WorkbookError, WorkbookValueError
from lib.glsa import FUSION_STRATEGIES, RESIDUAL_STRATEGIES, BaseFusion, GLSABlock, GLSANet, ResidualStrategy
from lib.models import create_model

SMALL = {"lesa": {"image_size": 48}, "self_attention": {"image_size": 48}}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return create_model(
        "resnet18", num_classes=7, attn_type="CBAM", fusion_strategy="learnable_gate", residual_strategy="progressive"
    ).eval()


@pytest.mark.parametrize("size", [(96, 96), (224, 224), (65, 97)])
def test_any_size_from_32(model, size):
    with torch.no_grad():
        assert model(torch.randn(1, 3, *size)).shape == (1, 7)
    height, width = (-(-side // 16) for side in size)
    assert model.maps()["global"].shape == (1, height, width)
    assert model.maps((height - 1, width - 1))["fusion_gate"].shape == (1, 256, height, width)


def test_is_the_backbone_with_a_block_in_the_middle(model):
    x = torch.randn(2, 3, 64, 64)
    backbone, block = model.backbone, model.block
    with torch.no_grad():
        assert torch.equal(model(x), backbone.upper(block(backbone.lower(x))))


def test_parts_sum_to_all_parameters(model):
    counts = model.count_parameters()
    assert set(counts) == {"total", "backbone", "global", "local", "fusion", "residual"}
    assert counts["total"] == sum(p.numel() for p in model.parameters())
    assert 2 * counts["total"] == sum(counts.values())


def test_none_is_the_bare_backbone():
    with torch.device("meta"):
        assert isinstance(create_model("ResNet18", num_classes=7, attn_type="none"), Backbone)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("attention", "backbone"),
    [("BAM", "toynet"), ("gatta", "toynet"), ("lesa", "resnet14_patches"), ("self_attention", "resnet14_patches")],
)
def test_a_network_is_all_in_the_type_that_it_was_brought_to(attention, backbone, dtype):
    network = create_model(backbone, num_classes=3, attn_type=attention, **SMALL.get(attention, {})).to(dtype)
    images = torch.randn(4, 3, 48, 48, dtype=dtype)
    network.train()(images).square().sum().backward()
    assert {p.grad.dtype for p in network.parameters()} == {dtype}
    assert network.eval()(images).dtype == dtype
    assert all(shown.isfinite().all() for shown in network.maps().values())


def test_global_attention_alone():
    with torch.device("meta"):
        backbone = build_backbone("resnet18", 7)
        net = GLSANet(backbone, GLSABlock(backbone.channels, attn_type="none"))
        assert net(torch.empty(1, 3, 64, 64)).shape == (1, 7)
    assert net.count_parameters()["local"] == 0


@pytest.mark.parametrize("name", ["resnet50", "vgg16"])
def test_arguments_reach_the_block(name):
    with torch.device("meta"):
        net = create_model(name, num_classes=7, attn_type="scse", num_heads=3, dim_head=16)
    assert net.block.attention.num_heads == 3
    assert net.block.attention.norm.normalized_shape == (48,)
    assert type(net.block.local).__name__ == "SCSE"


def test_a_lean_block_costs_less_than_a_fifth_of_a_resnet50_with_every_fusion():
    with torch.device("meta"):
        bare = create_model("resnet50", num_classes=7, attn_type="none").count_parameters()["total"]
        for fusion in FUSION_STRATEGIES:
            net = create_model("resnet50", num_classes=7, fusion_strategy=fusion, width="lean")
            assert net.count_parameters()["total"] < 1.2 * bare, fusion


def test_pretrained_reaches_the_backbone(monkeypatch):
    asked = []
    monkeypatch.setattr("lib.backbones.load_default_weights", lambda net, name: asked.append(name))
    with torch.device("meta"):
        create_model("resnet18", num_classes=7)
        create_model("vgg11", pretrained=True, num_classes=7)
    assert asked == ["vgg11"]


class AddFusion(BaseFusion):
    def forward(self, A, L, x_in=None):
        return A + L


class KeepResidual(ResidualStrategy):
    def forward(self, x_in, fused_features):
        return x_in


def test_strategies_of_ones_own(monkeypatch):
    monkeypatch.setitem(FUSION_STRATEGIES, "add", AddFusion)
    monkeypatch.setitem(RESIDUAL_STRATEGIES, "keep", KeepResidual)
    torch.manual_seed(0)
    net = create_model("resnet18", num_classes=7, fusion_strategy="add", residual_strategy="keep").eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(x), net.backbone(x))


def test_a_network_that_brings_its_own_attention_is_one_line(monkeypatch):
    monkeypatch.setitem(models.NETWORKS, "tiny", lambda num_classes, pretrained: nn.Linear(3, num_classes))
    assert create_model("tiny", num_classes=5).out_features == 5


def test_another_attention_is_one_line(monkeypatch):
    monkeypatch.setitem(models.WRAPPERS, "doubled", lambda backbone: nn.Sequential(backbone, backbone))
    with torch.device("meta"):
        assert len(create_model("resnet18", attn_type="doubled")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone_name": "resnt50"}, "Unknown backbone 'resnt50'. Did you mean 'resnet50'"),
        ({"attn_type": "CBAN"}, "Unknown attn_type 'CBAN'. Did you mean 'CBAM'"),
        ({"fusion_strategy": "gate"}, "Unknown fusion_strategy 'gate'.*learnable_gate"),
        ({"residual_strategy": "droppth"}, "Did you mean 'drop_path'"),
        ({"attn_type": "none", "fusion_strategy": "gate"}, "Unknown fusion_strategy 'gate'.*learnable_gate"),
        ({"attn_type": "gatta", "width": "leen"}, "Unknown width 'leen'. Did you mean 'lean'"),
        ({"backbone_name": "lesa_resnet50", "attn_type": "CBAN"}, "Unknown attn_type 'CBAN'. Did you mean 'CBAM'"),
        ({"num_classes": 0}, "num_classes must be a whole number of at least 1, not 0"),
        ({"num_heads": 7}, "num_heads=7 does not divide the width 256"),
    ],
)
def test_mistakes_are_told_with_their_remedy(arguments, message):
    with torch.device("meta"), pytest.raises(WorkbookValueError, match=message):
        create_model(**{"backbone_name": "resnet18", "num_classes": 7} | arguments)


def test_maps_before_a_forward_and_after_a_copy(model):
    with torch.no_grad():
        model(torch.randn(1, 3, 64, 64))
    twin = copy.deepcopy(model)
    assert model.maps()
    with pytest.raises(WorkbookError, match="call the model in eval mode first"):
        twin.maps()
