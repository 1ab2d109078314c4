"""Class activation maps against their formulas, and against pytorch-grad-cam on the network itself."""

import contextlib
import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_grad_cam import AblationCAM, EigenCAM, GradCAM, HiResCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget
from torch import nn

from lib import create_model
from lib.explain import explain
from lib.explain.methods.explain import scaled
from lib.explain.methods.target_layers import target_layer_of, watch
from tests.explain.models import CLASSES, images, model_of


class Net(nn.Module):
    """A convolution, a nonlinear head that sees positions, and maps that may be negative."""

    def __init__(self, signed=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 4, 4)
        self.act = nn.Tanh() if signed else nn.ReLU()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(6 * 64, 9), nn.Tanh(), nn.Linear(9, 4))

    def forward(self, x):
        return self.head(self.act(self.conv(x)))


@pytest.fixture(params=[False, True], ids=["positive", "signed"])
def net(request):
    torch.manual_seed(1)
    return Net(request.param).eval()


def maps_and_gradients(net, x, target):
    a = net.act(net.conv(x)).detach().requires_grad_()
    (g,) = torch.autograd.grad(net.head(a)[:, target].sum(), a)
    return a.detach(), g


def grad_cam(a, g):
    return (g.mean((2, 3), keepdim=True) * a).sum(1).relu()


def hires_cam(a, g):
    return (g * a).sum(1).relu()


def xgrad_cam(a, g):
    weights = (g * a).sum((2, 3), keepdim=True) / (a.sum((2, 3), keepdim=True) + 1e-7)
    return (weights * a).sum(1).relu()


def layer_cam(a, g):
    return (g.relu() * a).sum(1).relu()


def grad_cam_plus_plus(a, g):
    alpha = g**2 / (2 * g**2 + a.sum((2, 3), keepdim=True) * g**3 + 1e-6)
    weights = (alpha * g.relu()).sum((2, 3), keepdim=True)
    return (weights * a).sum(1).relu()


FORMULAS = {
    "grad-cam": grad_cam,
    "hires-cam": hires_cam,
    "xgrad-cam": xgrad_cam,
    "layer-cam": layer_cam,
    "grad-cam++": grad_cam_plus_plus,
}


@pytest.mark.parametrize("method", FORMULAS)
def test_a_map_is_its_formula(method, net):
    x = images(3)
    expected = FORMULAS[method](*maps_and_gradients(net, x, 2))
    maps = F.interpolate(expected[:, None], (32, 32), mode="bilinear")[:, 0]
    maps = maps - maps.amin((1, 2), keepdim=True)
    torch.testing.assert_close(explain(net, x, 2, method), maps / maps.amax((1, 2), keepdim=True), atol=1e-4, rtol=1e-4)


def test_ablation_weighs_channels_by_what_the_class_loses(net):
    x = images(2)
    a = net.act(net.conv(x)).detach()
    whole = net.head(a).softmax(1)[:, 1]
    weights = torch.stack(
        [1 - net.head(a * (torch.arange(6) != k)[:, None, None]).softmax(1)[:, 1] / whole for k in range(6)], 1
    )
    expected = (weights[:, :, None, None] * a).sum(1).relu()
    torch.testing.assert_close(explain(net, x, 1, "ablation-cam"), scaled(expected, (32, 32)), atol=1e-4, rtol=1e-4)


def library(kind, net, layer, x, targets, **options):
    with contextlib.redirect_stderr(io.StringIO()), kind(net, [layer], **options) as cam:
        return cam(x, targets)


@pytest.mark.parametrize("net", [False], ids=["positive"], indirect=True)  # the library shifts signed maps by 1e7
def test_ablation_of_positive_maps_is_the_librarys(net):
    x = images(2)
    theirs = library(AblationCAM, net, net.act, x, [ClassifierOutputSoftmaxTarget(1)] * 2)
    np.testing.assert_allclose(explain(net, x, 1, "ablation-cam"), theirs, atol=1e-4)


def test_eigen_cam_is_the_librarys_but_for_its_sign(net):
    x = images(3)
    a = net.act(net.conv(x)).detach().flatten(2).transpose(1, 2)
    centred = a - a.mean(1, keepdim=True)
    direction = torch.linalg.svd(centred, full_matrices=False)[2][:, 0]
    projected = (centred @ direction.unsqueeze(2)).view(3, 8, 8)
    sign = torch.where(projected.amax((1, 2)) > -projected.amin((1, 2)), 1, -1)
    ours = explain(net, x, method="eigen-cam")
    torch.testing.assert_close(ours, scaled((projected * sign[:, None, None]).relu(), (32, 32)), atol=1e-4, rtol=1e-4)
    theirs = [library(EigenCAM, net, net.act, x, None), ours.numpy()]
    same = [np.allclose(theirs[0][i], theirs[1][i], atol=1e-4) for i in range(3)]
    assert any(same) or all(np.abs(theirs[0] - theirs[1]).max((1, 2)) > 0.5)


@pytest.mark.parametrize(("side", "stage"), [(32, "layer2"), (64, "layer3"), (128, "layer4")])
def test_a_resnet_is_explained_at_its_last_stage_with_places_as_the_library_does(side, stage):
    model, x = create_model("resnet18", pretrained=False, num_classes=CLASSES, attn_type="none").eval(), images(2, side)
    theirs = library(GradCAM, model, getattr(model.net, stage), x, [ClassifierOutputTarget(1)] * 2)
    np.testing.assert_allclose(explain(model, x, 1), theirs, atol=1e-4)


WIDE_ENOUGH = {
    "resnet18": [(224, "layer4"), (100, "layer4"), (96, "layer3"), (64, "layer3"), (32, "layer2")],
    "resnet18_small": [(64, "layer4"), (48, "layer3"), (32, "layer3")],
}


@pytest.mark.parametrize(
    ("name", "side", "stage"), [(name, *case) for name in WIDE_ENOUGH for case in WIDE_ENOUGH[name]]
)
def test_a_small_image_is_explained_where_its_map_is_still_four_positions_wide(name, side, stage):
    bare, glsa = (create_model(name, num_classes=3, attn_type=attention) for attention in ("none", "CBAM"))
    x = images(1, side)
    assert target_layer_of(bare, x).layer is getattr(bare.net, stage)
    expected = glsa.block if stage == "layer3" else getattr(glsa.backbone.net, stage)
    assert target_layer_of(glsa, x).layer is expected
    sizes = []
    watch(glsa.eval(), x, {"": expected}, lambda name, output: sizes.append(output.shape[2]))
    assert sizes[0] >= 4


def as_maps(tokens):
    return tokens[:, 1:].reshape(tokens.shape[0], 4, 4, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("kind", ["timm vit", "dcal", "torchvision vit"])
def test_a_vit_is_explained_at_its_last_norm_as_the_library_does(kind):
    model, x = model_of(kind), images(2)
    layer = {
        "timm vit": lambda: model.blocks[-1].norm1,
        "dcal": lambda: model.vit.blocks[-1].norm1,
        "torchvision vit": lambda: model.encoder.layers[-1].ln_1,
    }[kind]()
    for method, cam in (("grad-cam", GradCAM), ("hires-cam", HiResCAM)):
        theirs = library(cam, model, layer, x, [ClassifierOutputTarget(1)] * 2, reshape_transform=as_maps)
        np.testing.assert_allclose(explain(model, x, 1, method), theirs, atol=1e-3)


def test_of_gattanet_the_maps_of_the_last_pass_count():
    model, x = model_of("gattanet"), images(2)
    kept = []

    def note(module, args, output):
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()

    handle = model.backbone.net.conv3[2].register_forward_hook(note)
    logits = model(x)
    handle.remove()
    assert len(kept) == 2
    (g,) = torch.autograd.grad(logits[:, 1].sum(), kept[1])
    torch.testing.assert_close(
        explain(model, x, 1), scaled(grad_cam(kept[1].detach(), g), (32, 32)), atol=1e-4, rtol=1e-4
    )
    assert not torch.allclose(scaled(grad_cam(kept[0].detach(), g), (32, 32)), explain(model, x, 1), atol=1e-2)


def test_what_follows_the_maps_may_work_in_place(net):
    x = images(2)
    before = explain(net, x, 1)
    head = net.head

    class InPlace(nn.Module):
        def forward(self, a):
            return head(a.mul_(1.0))

    net.head = InPlace().eval()
    torch.testing.assert_close(explain(net, x, 1), before)
