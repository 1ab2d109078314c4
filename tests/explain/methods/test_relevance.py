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
from lib.explain import Similarity, explain, methods_of
from lib.explain.methods.explain import scaled
from lib.explain.methods.relevance import relevance
from lib.explain.methods.relevance_rules import ruled
from lib.explain.methods.target_objects import Scored
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


class Attends(nn.Module):
    """One layer of attention of two heads, its queries, keys and values multiplied as `form` says."""

    def __init__(self, form):
        super().__init__()
        self.form, self.qkv, self.proj = form, nn.Linear(8, 24, bias=False), nn.Linear(8, CLASSES, bias=False)
        self.talk, self.query = nn.Linear(2, 2, bias=False), nn.Parameter(torch.empty(1, 2, 3, 4))
        self.theirs = nn.MultiheadAttention(8, 2, batch_first=True, bias=False)
        for number, weight in enumerate(self.parameters()):
            weight.data = drawn(weight.shape, number)
        self.double().eval().requires_grad_(False)
        self.theirs.in_proj_weight, self.theirs.out_proj.weight.data = self.qkv.weight, torch.eye(8).double()

    def forward(self, x):
        tokens = x.flatten(2)
        if self.form == "PyTorch's own":
            return self.proj(self.theirs(tokens, tokens, value=tokens, need_weights=False)[0]).sum(1)
        q, k, v = self.qkv(tokens).view(1, 3, 3, 2, 4).permute(2, 0, 3, 1, 4)
        heads = FORMS[self.form](self, q, k, v)
        return self.proj(heads.transpose(1, 2).flatten(2)).sum(1)


def in_one(model, q, k, v):
    return nn.functional.scaled_dot_product_attention(q, k, value=v)


def one_by_one(model, q, k, v):
    return (q @ k.transpose(2, 3) / 2).softmax(-1).matmul(v)


def einsum(model, q, k, v):
    scores = torch.einsum("bhid,bhjd->bhij", [q / 2, k])
    return torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), v)


def in_batches(model, q, k, v):
    scores = torch.baddbmm(q.new_zeros(2, 3, 3), q[0], k[0].mT, alpha=0.5)
    return torch.bmm(scores.softmax(-1), v[0])[None]


def cosine(model, q, k, v):
    q, k = nn.functional.normalize(q, dim=-1), nn.functional.normalize(k, dim=-1)
    return (3 * q @ k.mT).softmax(-1) @ v


def talking(model, q, k, v):
    scores = model.talk((q @ k.mT).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return scores.softmax(-1) @ v


def linear(model, q, k, v):
    return q @ (k.mT @ v)


def learned(model, q, k, v):
    return model.query @ k.mT @ v


FORMS = {form.__name__: form for form in (in_one, one_by_one, einsum, in_batches, cosine, talking, linear, learned)}
OF_ATTENTION = drawn(torch.Size([1, 3, 2, 4]), 3)


def relevance_of(form):
    return relevance(Attends(form), OF_ATTENTION, torch.tensor([1]), {}, attention=True)


@pytest.mark.parametrize("form", ["PyTorch's own", "one_by_one", "einsum", "in_batches"])
def test_attention_has_one_rule_however_it_is_written(form):
    torch.testing.assert_close(Attends(form)(OF_ATTENTION), Attends("in_one")(OF_ATTENTION))
    found = relevance_of("in_one")
    assert found.abs().max() > 0
    torch.testing.assert_close(relevance_of(form), found)


@pytest.mark.parametrize("form", ["linear", "learned"])
def test_relevance_goes_whole_through_attention_without_softmax(form):
    torch.testing.assert_close(relevance_of(form).sum(), Attends(form)(OF_ATTENTION)[0, 1])


@pytest.mark.parametrize("form", ["one_by_one", "cosine", "talking"])
def test_of_any_attention_it_is_what_the_rules_hand_down_step_by_step(form):
    """Relevance itself goes down here, each rule as the paper writes it, where the library changes gradients."""
    model = Attends(form)
    tokens = OF_ATTENTION.view(3, 8)
    q, k, v = model.qkv(tokens).view(3, 3, 2, 4).permute(1, 2, 0, 3)  # [heads, tokens, 4]
    shown = [x / x.norm(dim=-1, keepdim=True) if form == "cosine" else x for x in (q, k)]
    factor = {"one_by_one": 1 / 2, "cosine": 3, "talking": 1}[form]
    products = factor * shown[0] @ shown[1].mT
    scores = torch.einsum("oh,hij->oij", model.talk.weight, products) if form == "talking" else products
    pattern = scores.softmax(-1)
    heads = pattern @ v
    of_heads = heads * model.proj.weight[1].view(2, 1, 4)  # of each part of the answer, by the ε-rule
    of_pattern = pattern * ((of_heads / heads) @ v.mT) / 2  # half, by the uniform rule
    of_v = v * (pattern.mT @ (of_heads / heads)) / 2
    below = scores * (of_pattern - pattern * of_pattern.sum(-1, keepdim=True))  # through softmax
    if form == "talking":
        below = products * torch.einsum("oh,oij->hij", model.talk.weight, below / scores)
    of_q = shown[0] * ((below / products) @ (factor * shown[1])) / 2  # and through a division by the length
    of_k = shown[1] * ((below / products).mT @ (factor * shown[0])) / 2
    ratios = torch.stack([of_q / q, of_k / k, of_v / v]).permute(2, 0, 1, 3).reshape(3, 24)
    expected = tokens * (ratios @ model.qkv.weight)
    torch.testing.assert_close(relevance_of(form), expected.view_as(OF_ATTENTION))


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


class Bent(nn.Module):
    def __init__(self, bend):
        super().__init__()
        self.conv, self.bend, self.head = nn.Conv2d(3, 4, 8, 8), bend, nn.Linear(4, CLASSES, bias=False)

    def forward(self, x):
        return self.head(self.bend(self.conv(x)).mean((2, 3)))


BENDS = [
    nn.functional.gelu,
    nn.Hardswish(inplace=True),
    nn.ReLU6(),
    torch.tanh,
    lambda x: nn.functional.silu(x.clone()),
]
UNRULED = {
    "Exp": torch.exp,
    "Glu": lambda x: nn.functional.glu(torch.cat([x, x], 1), 1),
    "Div": lambda x: x / (1 + x.abs().sum(1, keepdim=True)),
    "Convolution": lambda x: nn.functional.conv2d(x, x.flatten(2).mT[0, :4, :, None, None]),
    "Silu": lambda x: nn.functional.silu(x.clone(), True),
}


@pytest.mark.parametrize("bend", BENDS)
def test_relevance_goes_whole_through_a_curve_whether_it_is_a_layer_or_a_function(bend):
    torch.manual_seed(0)
    model, x = Bent(bend).eval().requires_grad_(False), 9 * images(2)
    model.conv.bias.zero_()
    found = relevance(model, x, torch.tensor([1, 2]), {}).sum((1, 2, 3))
    torch.testing.assert_close(found, model(x)[[0, 1], [1, 2]], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", UNRULED)
def test_a_curve_or_product_without_a_rule_is_refused(name):
    model = Bent(UNRULED[name]).eval()
    assert "lrp" not in methods_of(model)
    with pytest.raises(WorkbookValueError, match=rf"\({name}\w*Backward0\), for which there is no rule"):
        explain(model, images(2), method="lrp")


def test_a_similarity_is_relevant_as_what_it_is_the_cosine_of():
    torch.manual_seed(0)
    model, x, query = Bent(nn.Identity()).eval().requires_grad_(False), images(1), torch.randn(CLASSES)
    model.conv.bias.zero_()
    found = relevance(Scored(model, Similarity(query)), x, None, {}).sum()
    torch.testing.assert_close(found, Similarity(query)(model(x)[0]))


def test_a_network_without_attention_has_none_to_hand_relevance_through():
    with pytest.raises(WorkbookValueError, match="This VGGBackbone attends nowhere.*take lrp"):
        explain(model_of("vgg"), images(2), method="attn-lrp")


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
