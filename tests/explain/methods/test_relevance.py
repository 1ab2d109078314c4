"""Relevance: zennit on networks for which it has canonizers, recorded values of lxt for attention, and what has no rule."""

import json
import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import BasicBlock, ResNet
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import EpsilonPlusFlat
from zennit.rules import Epsilon
from zennit.torchvision import ResNetCanonizer

from lib.errors import WorkbookError, WorkbookValueError
from lib.explain import explain, methods_of
from lib.explain.methods.explain import scaled
from lib.explain.methods.relevance import relevance
from lib.explain.methods.relevance_rules import ruled
from tests.explain.models import CLASSES, drawn, images, model_of, small_vit

GOLDEN = Path(__file__).parents[2] / "golden/attn_lrp.json"


def trained(model):
    """With statistics and biases that are not those of the start."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.1)
    return model.eval()


def chain():
    first = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    second = (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return nn.Sequential(*first, *second, nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, CLASSES))


CNNS = {
    "chain": (chain, SequentialMergeBatchNorm),
    "resnet": (lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=CLASSES), ResNetCanonizer),
}


@pytest.mark.parametrize("kind", CNNS)
def test_of_a_cnn_it_is_zennits(kind):
    torch.manual_seed(0)
    make, canonizer = CNNS[kind]
    model, x, classes = trained(make()), images(2), torch.tensor([1, 2])
    before = {name: t.clone() for name, t in model.state_dict().items()}
    ours = explain(model, x, classes, "lrp")
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    with Gradient(model, EpsilonPlusFlat(canonizers=[canonizer()])) as attributor:
        _, theirs = attributor(x, lambda logits: logits.detach() * torch.eye(CLASSES)[classes])
    torch.testing.assert_close(ours, scaled(theirs.sum(1).clamp(min=0), (32, 32)), atol=2e-3, rtol=0)


def test_of_attention_it_is_lxts():
    expected = torch.tensor(json.loads(GOLDEN.read_text())["relevance"], dtype=torch.float64).view(16, 16)
    x = drawn(torch.Size([1, 3, 16, 16]), 7)
    found = relevance(small_vit(), x, torch.tensor([1]), {}, attention=True).sum(1)[0]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())


def test_the_gamma_rules_of_a_vit_know_classes():
    model, x = model_of("timm vit"), images(2)
    maps = explain(model, x, 1, "attn-lrp")
    assert maps.amax((1, 2)).tolist() == [1, 1]
    assert not torch.equal(maps, explain(model, x, 2, "attn-lrp"))


def same_attention(model):
    """PyTorch's own attention with the weights of `small_vit`'s first block, and that block's."""
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).double().eval()
    ours = model.blocks[0].attn
    theirs.in_proj_weight, theirs.in_proj_bias = ours.qkv.weight, ours.qkv.bias
    theirs.out_proj.weight, theirs.out_proj.bias = ours.proj.weight, ours.proj.bias
    return theirs, ours


class Attends(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, x):
        tokens = x.flatten(2)
        if isinstance(self.attention, nn.MultiheadAttention):
            return self.attention(tokens, key=tokens, value=tokens, need_weights=False)[0].sum(1)
        return self.attention(tokens).sum(1)


def test_pytorchs_own_attention_has_the_same_rule():
    x = drawn(torch.Size([1, 3, 2, 4]), 3)
    theirs, ours = (
        relevance(Attends(attention), x, torch.tensor([1]), {}, attention=True)
        for attention in same_attention(small_vit())
    )
    torch.testing.assert_close(theirs, ours)
    assert ours.abs().max() > 0


RULES = {
    "vgg": {"lrp"},
    "timm vit": {"attn-lrp"},
    "torchvision vit": {"attn-lrp"},
    "plain": {"lrp"},  # with gates
    "glsa": set(),
    "dcal": set(),
}


@pytest.mark.parametrize("kind", RULES)
def test_a_network_has_relevance_where_all_its_products_have_a_rule(kind):
    model = model_of(kind)
    assert {"lrp", "attn-lrp"} & set(methods_of(model)) == RULES[kind]
    for method in RULES[kind]:
        assert explain(model, images(2), 1, method).isfinite().all()


def test_convnexts_norms_and_scales_have_rules():
    torch.manual_seed(0)
    for model in (
        timm.models.ConvNeXt(depths=(1, 1, 1, 1), dims=(4, 4, 8, 8), num_classes=CLASSES),
        torchvision.models.ConvNeXt([CNBlockConfig(8, 8, 1), CNBlockConfig(8, None, 1)], num_classes=CLASSES),
    ):
        x = images(2)
        assert "lrp" in methods_of(model.eval())
        assert explain(model, x, 1, "lrp").amax((1, 2)).tolist() == [1, 1]


class Normed(nn.Module):
    """Four positions a side and four channels: no shape tells which axis a norm is over."""

    def __init__(self, norm):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 8, 8, bias=False), norm, nn.Linear(4, CLASSES, bias=False)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


NORMS = {
    "last": lambda: nn.LayerNorm(4),
    "timm's": lambda: timm.layers.LayerNorm2d(4),
    "timm's in single precision": lambda: timm.layers.LayerNorm2dFp32(4),
    "timm's with an activation": lambda: timm.layers.LayerNormAct2d(4),
    "groups": lambda: nn.GroupNorm(2, 4),
    "timm's groups with an activation": lambda: timm.layers.GroupNormAct(4, num_groups=2),
    "instance": lambda: nn.InstanceNorm2d(4, affine=True),
    "instance with statistics": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
}


@pytest.mark.parametrize("kind", NORMS)
def test_relevance_goes_whole_through_a_norm_which_gives_what_it_gave(kind):
    torch.manual_seed(0)
    model, x = Normed(NORMS[kind]()).eval().requires_grad_(False), images(2)
    nn.init.uniform_(model.norm.weight, 0.5, 1.5)
    logits = model(x)
    with ruled(model, attention=False):
        torch.testing.assert_close(model(x), logits)
    found = relevance(model, x, torch.tensor([1, 2]), {}).sum((1, 2, 3))
    torch.testing.assert_close(found, logits[[0, 1], [1, 2]], atol=1e-5, rtol=1e-3)


class Functional(Normed):
    def forward(self, x):
        return self.head(nn.functional.layer_norm(self.conv(x), (4,)).mean((2, 3)))


class Shifted(nn.LayerNorm):
    """With weights about zero, as some have them: none that is known here."""

    def forward(self, x):
        return nn.functional.layer_norm(x, self.normalized_shape, self.weight + 1, self.bias, self.eps)


@pytest.mark.parametrize("model", [Functional(nn.Identity()), Normed(Shifted(4))], ids=["functional", "another"])
def test_a_norm_that_is_not_known_has_no_rule(model):
    assert "lrp" not in methods_of(model.eval())
    with pytest.raises(WorkbookValueError, match="(?i)norm.*Take integrated-gradients"):
        explain(model, images(2), method="lrp")


@pytest.mark.parametrize(
    ("layer", "has"),
    [
        (lambda: timm.layers.StdConv2d(3, 4, 8), False),
        (lambda: timm.layers.ScaledStdConv2dSame(3, 4, 8), False),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 8)), False),
        (lambda: timm.layers.Conv2dSame(3, 4, 8), True),
    ],
)
def test_a_layer_that_computes_with_other_weights_than_its_own_has_no_rule(layer, has):
    torch.manual_seed(0)
    model = nn.Sequential(layer(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES)).eval()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert ("lrp" in methods_of(model)) is has
    if not has:
        with pytest.raises(WorkbookValueError, match="0, a .*computes with other weights than its own.*integrated"):
            explain(model, images(2), method="lrp")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


class Repeated(nn.Module):
    """A layer that is called twice, and one whose output is added to in place."""

    def __init__(self):
        super().__init__()
        self.first, self.shared = nn.Conv2d(3, 4, 8, 8, bias=False), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.last, self.head = nn.Conv2d(4, 4, 1, bias=False), nn.Linear(4, CLASSES, bias=False)

    def forward(self, x):
        x = self.shared(self.shared(self.first(x)))
        y = self.last(x)
        y += x
        return self.head(y.mean((2, 3)))


def test_layers_may_be_called_again_and_added_to_in_place():
    torch.manual_seed(0)
    model, x = Repeated().double().eval().requires_grad_(False), images(2).double()
    rules = dict.fromkeys((nn.Conv2d, nn.Linear), Epsilon(1e-12))
    found = relevance(model, x, torch.tensor([1, 2]), rules).sum((1, 2, 3))
    torch.testing.assert_close(found, model(x)[[0, 1], [1, 2]])


def test_what_has_no_rule_says_so():
    class Squared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, CLASSES, 4, 4)

        def forward(self, x):
            maps = self.conv(x)
            return (maps * maps.flip(1)).mean((2, 3))

    assert "lrp" not in methods_of(Squared())
    with pytest.raises(
        WorkbookValueError, match="multiplies what depends on the image by each other .MulBackward0.*Take"
    ):
        explain(Squared().eval(), images(2), method="lrp")


def test_without_zennit_there_is_no_relevance(monkeypatch):
    for module in ("zennit.rules", "zennit.core", "zennit.canonizers"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(WorkbookError, match=r"needs zennit, .* pip install zennit, or .*\.\[zennit\]"):
        explain(model_of("vgg"), images(), method="lrp")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "lrp" not in methods_of(model_of("vgg"))
