"""The network: equal to its backbone at α = 0, frozen, exported, copied, compiled."""

import copy
import gc
import pickle

import pytest
import timm
import torch
import torchvision
from torch import nn

from lib import create_model
from lib.backbones import build_backbone
from lib.errors import WorkbookError, WorkbookValueError
from lib.gattanet import GAttANet, class_agreement
from lib.toynet import ToyNet
from tests.gattanet.transcription import LAYERS, SIZE, toy
from tests.helpers import float64

NETWORKS = {
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=5), ("layer2.0.bn1", "layer3", "fc")),
    "vgg11": (lambda: build_backbone("vgg11", 5), ("net.features.3", "net.features.20", "net.classifier.1")),
    "densenet": (
        lambda: torchvision.models.DenseNet(8, (2, 2), 8, num_classes=5),
        ("features.denseblock1.denselayer2.conv1", "features.norm5"),
    ),
    "timm resnet": (
        lambda: timm.models.resnet.ResNet(timm.models.resnet.BasicBlock, [1, 1, 1, 1], 5, drop_rate=0.3),
        ("layer2", "layer4.0.act1"),
    ),
    "convnext": (lambda: timm.create_model("convnext_atto", num_classes=5), ("stages.1", "stages.3.blocks.1")),
    "nested": (lambda: torchvision.models.resnet18(num_classes=5), ("layer3", "layer3.1.conv1", "layer2")),
}


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_with_alpha_zero_it_is_its_backbone(name, images):
    torch.manual_seed(0)
    build, layers = NETWORKS[name]
    backbone = build()
    model = GAttANet(backbone, layers, dim=4, passes=3, input_size=(3, 64, 64)).eval()
    with torch.no_grad():
        assert torch.equal(model(images), backbone(images))
        assert torch.equal(model(images[..., :40]), backbone(images[..., :40]))  # another size than the probe's
        for part in model.agreement:
            part.alpha.fill_(0.1)
        changed = model(images)
        assert not torch.allclose(changed, backbone(images))
        model.passes = 1
        assert torch.equal(model(images), backbone(images))


def test_alpha_starts_where_it_is_said_and_layers_have_the_networks_own_names(images):
    given = {"attn_type": "gatta", "num_classes": 5, "dim": 4}
    models = {}
    for layers, alpha in ((["conv2", "dense1"], 0.3), (["net.conv2", "net.dense1"], 0.0)):
        torch.manual_seed(0)
        models[alpha] = create_model("toynet", **given, layers=layers, alpha_init=alpha).eval()
        assert models[alpha].layers == ("net.conv2", "net.dense1")
        assert [part.alpha.item() for part in models[alpha].agreement] == pytest.approx([alpha, alpha])
    assert not torch.equal(models[0.3](images), models[0.0](images))
    for part in models[0.0].agreement:
        part.alpha.data.fill_(0.3)
    assert torch.equal(models[0.3](images), models[0.0](images))
    with pytest.raises(WorkbookValueError, match="no layer 'net.conv9'. The nearest names are net.conv"):
        create_model("toynet", **given, layers=["conv9"])


def calls(model, images):
    """How often each leaf of the backbone runs in one forward."""
    counts = dict.fromkeys((name for name, m in model.backbone.named_modules() if not [*m.children()]), 0)

    def count(name):
        counts[name] += 1

    hooks = [
        model.backbone.get_submodule(name).register_forward_hook(lambda *_, name=name: count(name)) for name in counts
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    return counts


def test_nothing_before_the_first_layer_is_computed_twice_nor_after_the_last_but_once(images):
    model = GAttANet(torchvision.models.resnet18(num_classes=5), ("layer3", "layer2"), 4, 3, input_size=(3, 64, 64))
    counts = calls(model.eval(), images)
    once = {n for n, c in counts.items() if c == 1 and "relu" not in n}
    thrice = {n for n, c in counts.items() if c == 3}
    assert {n.split(".")[0] for n in once} == {"conv1", "bn1", "maxpool", "layer1", "layer2", "layer4", "avgpool", "fc"}
    assert {n.split(".")[0] for n in thrice} == {"layer3"}
    assert [tuple(value.shape) for value in model.lower(images)] == [(2, 128, 8, 8)]  # no more is kept for a pass


def test_train_mode_is_the_backbones_own_too(images):
    torch.manual_seed(0)
    backbone = torchvision.models.resnet18(num_classes=5).train()
    model = GAttANet(backbone, ["layer2", "layer4"], input_size=(3, 64, 64)).train()
    alone = copy.deepcopy(backbone)
    torch.testing.assert_close(model(images), alone(images))
    passes = {name: int(b) for name, b in backbone.named_buffers() if name.endswith("num_batches_tracked")}
    assert passes["bn1.num_batches_tracked"] == 1
    assert passes["layer2.1.bn2.num_batches_tracked"] == 1  # restarts at the output of the first layer
    assert passes["layer4.1.bn2.num_batches_tracked"] == 2


def test_frozen_is_every_parameter_and_statistic():
    model = toy(freeze=True, alpha=0.1).train()
    assert model.training
    assert not any(module.training for module in model.backbone.modules())
    before = model.export_backbone()
    optimiser = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    own = [p.detach().clone() for p in model.agreement.parameters()]
    model(float64(4, 3, 16, 16)).square().mean().backward()
    optimiser.step()
    after = model.backbone.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(torch.equal(p, was) for p, was in zip(model.agreement.parameters(), own, strict=True))
    assert any(module.training for module in toy().train().backbone.modules())


def test_a_frozen_start_learns_alpha_first():
    model = toy(freeze=True, alpha=0.0).train()
    model(float64(4, 3, 16, 16)).square().mean().backward()
    assert all(part.alpha.grad.abs() > 0 for part in model.agreement)
    assert all(torch.count_nonzero(part.key.grad) == 0 for part in model.agreement)


def test_a_forward_may_ask_for_its_mode_and_a_frozen_one_stays_in_eval():
    class Dropping(ToyNet):
        def forward(self, images):
            logits = super().forward(nn.functional.dropout(images, 0.2, self.training))
            return nn.functional.dropout(logits, 0.5, self.training)

    images = torch.randn(2, *SIZE)
    for freeze in (False, True):
        model = GAttANet(Dropping(5, width=4), ["conv2"], freeze=freeze, input_size=SIZE)
        model.eval()
        assert torch.equal(model(images), model(images))
        model.train()
        assert torch.equal(model(images), model(images)) == freeze


def test_the_export_loads_into_the_bare_backbone():
    model = toy()
    model.train()(float64(4, 3, 16, 16)).square().mean().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    bare = ToyNet(5, width=4).double()
    bare.load_state_dict(model.export_backbone())
    images = float64(2, 3, 16, 16)
    torch.testing.assert_close(bare.eval()(images), model.eval().backbone(images))
    exported = model.export_backbone()["dense2.bias"]
    exported += 1
    assert not torch.equal(model.backbone.dense2.bias, exported)


def test_one_hundred_rounds_keep_nothing():
    model = toy()
    images = float64(2, 3, 16, 16)

    def tensors():
        gc.collect()
        return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())

    model(images).sum().backward()
    after_one, hooks = tensors(), [len(m._forward_hooks) for m in model.modules()]
    for _ in range(100):
        model.zero_grad()
        model(images).sum().backward()
    assert tensors() <= after_one
    assert [len(m._forward_hooks) for m in model.modules()] == hooks == [0] * len(hooks)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_compute_the_same_with_weights_of_their_own(copied):
    model = toy()
    images = float64(2, 3, 16, 16)
    out = model(images)
    twin = copied(model)
    torch.testing.assert_close(twin(images), out)
    twin.backbone.conv1[0].weight.data.zero_()
    assert not torch.allclose(twin(images), out)
    torch.testing.assert_close(model(images), out)


def test_the_state_dict_is_the_backbones_and_the_agreements_own():
    model = toy()
    names = list(model.state_dict())
    backbone = [f"backbone.{name}" for name in model.backbone.state_dict()]
    assert names == backbone + [f"agreement.{i}.{w}" for i in range(len(LAYERS)) for w in ("key", "query", "alpha")]
    other = toy(alpha=0.0)
    other.load_state_dict(model.state_dict())
    images = float64(2, 3, 16, 16)
    torch.testing.assert_close(other(images), model(images))


def test_a_part_that_is_replaced_later_is_the_one_that_runs():
    model = toy(layers=("conv1", "dense1"))
    model.backbone.dense2 = nn.Linear(16, 9).double()
    assert model(float64(2, 3, 16, 16)).shape == (2, 9)


def test_compiled_and_exported_compute_the_same():
    model = toy(passes=3)
    images = float64(2, 3, 16, 16)
    out = copy.deepcopy(model)(images)
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(images), out)
    assert model.maps()["queries"].shape == (2, 3, 6)
    torch.testing.assert_close(torch.export.export(copy.deepcopy(model), (images,)).module()(images), out)


def test_what_works_in_place_does_not_spoil_the_next_pass():
    class InPlace(nn.Module):
        def forward(self, x):
            return x.mul_(0.5)

    class Copying(nn.Module):
        def forward(self, x):
            return x * 0.5

    def network(half):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), half, nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
        model = GAttANet(net, ["0", "1"], 4, 3, input_size=SIZE).eval()
        for part in model.agreement:
            part.alpha.data.fill_(0.1)
        return model

    images = float64(2, 3, 16, 16)
    in_place, copying = network(InPlace())(images), network(Copying())(images)
    torch.testing.assert_close(in_place, copying)


def test_names_and_shapes_of_maps_and_no_gradients():
    model = toy(passes=4)
    model(float64(2, 3, 16, 16))
    maps = model.maps()
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "queries": (2, 4, 6),
        "alpha": (4,),
        "agreement_conv1": (2, 3, 8, 8),
        "agreement_conv3": (2, 3, 2, 2),
        "agreement_dense1": (2, 3, 16),
        "agreement_dense2": (2, 3, 5),
    }
    assert not any(m.requires_grad for m in maps.values())
    assert class_agreement(maps["queries"], torch.tensor([0, 1])).shape == (4, 2, 2)
    model.train()(float64(2, 3, 16, 16))
    with pytest.raises(WorkbookError, match="call the model in eval mode first"):
        model.eval().maps()


def test_parts_sum_to_all_parameters():
    model = toy()
    counts = model.count_parameters()
    assert counts["total"] == sum(p.numel() for p in model.parameters()) == counts["backbone"] + counts["gatta"]
    assert counts["gatta"] == 2 * 6 * (4 + 16 + 16 + 5) + 4  # K and Q of every channel or unit, and α


@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_create_model(name):
    with torch.device("meta"):
        model = create_model(name, num_classes=7, attn_type="gatta", dim=8, passes=3)
        assert model(torch.empty(2, 3, 96, 96)).shape == (2, 7)
        with pytest.raises(WorkbookValueError, match="too small"):
            model(torch.empty(2, 3, 16, 16))
    assert (model.passes, model.agreement[0].key.shape[1]) == (3, 8)
    assert model.agreement[0].key.shape[0] in (128, 256)


def test_create_model_tells_mistakes():
    with torch.device("meta"):
        for options, message in (
            ({"passs": 3}, "Unknown option of gatta 'passs'. Did you mean 'passes'"),
            ({"layers": ["layer9"]}, "no layer 'net.layer9'. The nearest names are net.layer"),
            ({"attn_type": "none", "dim": 3}, "none takes no further options: leave out dim=3"),
            ({"attn_type": "CBAM", "dim": 3}, "Unknown option of CBAM 'dim'. Did you mean 'dim_head'"),
        ):
            with pytest.raises(WorkbookValueError, match=message):
                create_model("resnet18", num_classes=7, **{"attn_type": "gatta"} | options)
        with pytest.raises(WorkbookValueError, match="lesa_resnet50 takes no further options"):
            create_model("lesa_resnet50", num_classes=7, dim=3)


def test_the_toy_network_agrees_in_its_convolutions_and_its_hidden_dense_layer():
    model = create_model("toynet", num_classes=7, attn_type="gatta", dim=8, passes=3)
    assert (model.passes, model.agreement[0].key.shape) == (3, (32, 8))
    assert [type(part).__name__ for part in model.agreement] == 3 * ["MapAgreement"] + ["UnitAgreement"]
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 7)
