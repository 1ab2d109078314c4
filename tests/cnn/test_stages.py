"""Any network of torchvision and timm is cut where its last stage begins, and nothing of it changes."""

import copy
import pickle

import pytest
import torch
from torch import nn

from lib import create_model
from lib.backbones import StagedBackbone, build_backbone, known_backbone
from lib.cnn.stages import stages_of
from lib.errors import WorkbookValueError
from lib.training import RunConfig
from lib.training.build_model import build_structure

TINY = {"test_resnet": 192, "test_efficientnet": 48, "test_convnext": 48, "mobilenet_v3_small": 48}


@pytest.fixture(scope="module", params=TINY)
def backbone(request):
    torch.manual_seed(0)
    return build_backbone(request.param, 5)


@pytest.mark.parametrize("training", [False, True])
def test_both_halves_are_the_network(backbone, training):
    images = torch.randn(3, 3, 64, 96)
    outputs = []
    for answer in (backbone.net, lambda x: backbone.upper(backbone.lower(x)), backbone):
        state = copy.deepcopy(backbone.state_dict())
        backbone.train(training)
        torch.manual_seed(1)  # of dropout
        with torch.no_grad():
            outputs.append(answer(images))
        backbone.load_state_dict(state)  # statistics
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    assert outputs[0].shape == (3, 5)


def test_it_is_cut_at_stride_16(backbone):
    with torch.no_grad():
        assert backbone.eval().lower(torch.randn(1, 3, 64, 96)).shape == (1, backbone.channels, 4, 6)
    assert backbone.channels == TINY[backbone.name]
    assert backbone.net.get_submodule(backbone.head).weight.shape[0] == 5


@pytest.mark.parametrize("attention", ["CBAM", "gatta"])
def test_every_attention_stands_on_it(backbone, attention):
    model = create_model(backbone.name, num_classes=5, attn_type=attention).eval()
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        logits = model(images)
        assert model.maps()
        if attention == "gatta":  # α starts at 0
            torch.testing.assert_close(logits, model.backbone.net(images))
            assert len(model.layers) == 3


def test_a_part_that_is_replaced_later_is_what_runs_in_copies_too(backbone):
    backbone = pickle.loads(pickle.dumps(copy.deepcopy(backbone))).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = backbone.upper(backbone.lower(images))
        head = backbone.net.get_submodule(backbone.head)
        backbone.net.set_submodule(backbone.head, nn.Linear(head.in_features, 2))
        assert backbone.upper(backbone.lower(images)).shape == (1, 2)
        assert before.shape == (1, 5)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg11", "vgg16"])
def test_networks_that_are_cut_by_hand_would_be_cut_at_the_same_place(name):
    with torch.device("meta"):
        backbone = build_backbone(name, 5).eval()
        images = torch.empty(1, 3, 224, 224)
        stages = stages_of(backbone.net, name)
        assert stages.channels == backbone.channels
        assert stages.lower[False](backbone.net, images).shape == backbone.lower(images).shape


def test_weights_of_ones_own_fill_it(tmp_path):
    torch.manual_seed(1)
    state = build_backbone("test_efficientnet", 5).net.state_dict()
    torch.save({"state_dict": state}, tmp_path / "timm.pth.tar")
    model = create_model("test_efficientnet", num_classes=5, weights=str(tmp_path / "timm.pth.tar"))
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.backbone.net.state_dict().items())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("swin_t", r"its maps are \[B, H, W, C\]"),
        ("vit_b_16", r"its layers hand no maps \[B, C, H, W\] on"),
    ],
)
def test_a_network_that_cannot_be_cut_says_what_can(name, reason):
    with (
        torch.device("meta"),
        pytest.raises(WorkbookValueError, match=f"{name} cannot be cut .*{reason}.*resnet50.*DCAL"),
    ):
        build_backbone(name, 5)


def test_a_forward_that_branches_on_values_is_refused():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, images):
            return self.conv(images) if images.sum() > 0 else images

    with pytest.raises(WorkbookValueError, match="mine cannot be cut before its last stage .*control flow"):
        stages_of(Branching(), "mine")


def test_skips_across_every_stage_are_refused():
    class Skipping(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.head = nn.Conv2d(3, 3, 2, 2), nn.Conv2d(3, 3, 2, 2), nn.Linear(3, 2)

        def forward(self, images):
            return self.head(self.two(self.one(images)).mean((2, 3)) + images.mean((2, 3)))

    with pytest.raises(WorkbookValueError, match="more than one map crosses wherever a stage ends"):
        stages_of(Skipping(), "mine")


def test_names_are_those_of_the_libraries():
    assert known_backbone("ResNet18") == "resnet18"
    assert known_backbone("resnet18.a1_in1k") == "resnet18.a1_in1k"
    config = RunConfig(backbone="regnet_y_400mf")
    assert isinstance(
        build_structure(config, 5).backbone, StagedBackbone
    )  # torchvision's RegNets cannot be drawn there
    with pytest.raises(WorkbookValueError, match="Unknown backbone 'regnet_y_40mf'.*any CNN of torchvision or timm"):
        RunConfig(backbone="regnet_y_40mf")


def test_it_is_cut_behind_the_block_and_not_behind_the_norm_of_the_next_stage():
    with torch.device("meta"):
        backbone = build_backbone("convnext_tiny", 5).eval()
        seen = []
        backbone.net.features[6][0].register_forward_hook(lambda *_: seen.append("norm"))
        features = backbone.lower(torch.empty(1, 3, 64, 64))
        assert not seen
        backbone.upper(features)
        assert seen
