"""The further class activation maps: the library's own on the network itself, or their formula."""

import contextlib
import io

import numpy as np
import pytest
import torch
from pytorch_grad_cam import (
    FEM,
    KPCA_CAM,
    EigenGradCAM,
    FinerCAM,
    GradCAMElementWise,
    ScoreCAM,
    SegEigenCAM,
    ShapleyCAM,
)
from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, ClassifierOutputTarget
from torch import nn

from lib.explain import Classes, explain, methods_of
from lib.explain.methods.explain import scaled
from tests.explain.models import images, model_of

LIBRARYS = {
    "score-cam": (ScoreCAM, ClassifierOutputTarget),
    "shapley-cam": (ShapleyCAM, ClassifierOutputReST),
    "grad-cam-elementwise": (GradCAMElementWise, ClassifierOutputTarget),
    "seg-eigen-cam": (SegEigenCAM, ClassifierOutputTarget),
    "kpca-cam": (KPCA_CAM, ClassifierOutputTarget),
    "fem": (FEM, ClassifierOutputTarget),
}
# What the library's own leave behind when they go reaches no console.
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")


class Net(nn.Module):
    """A convolution, and a curved head that sees positions, so that second derivatives are not 0."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 6, 4, 4), nn.ReLU()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(6 * 64, 9), nn.Tanh(), nn.Linear(9, 5))

    def forward(self, x):
        return self.head(self.act(self.conv(x)))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(1)
    return Net().eval()


def library(kind, model, layer, x, targets, **options):
    with contextlib.redirect_stderr(io.StringIO()):
        maker = kind(model, [layer], **options)
        maps = maker(x, targets)
    maker.activations_and_grads.gradients = []  # which it would detach in place when it goes, and views refuse that
    return maps


@pytest.mark.parametrize("method", LIBRARYS)
def test_a_map_is_the_librarys(method, net):
    kind, target = LIBRARYS[method]
    x = images(2)
    theirs = library(kind, net, net.act, x, [target(1), target(3)])
    np.testing.assert_allclose(explain(net, x, [1, 3], method), theirs, atol=1e-4)
    assert methods_of(net)[method].by_class == (method not in ("kpca-cam", "fem"))


@pytest.mark.parametrize("method", ["shapley-cam", "seg-eigen-cam"])  # the library's ShapleyCAM takes no tokens
def test_of_a_vit_too(method):
    model, x = model_of("timm vit"), images(1)
    ours = explain(model, x, 1, method)
    assert ours.max() == 1
    if method == "seg-eigen-cam":
        reshaped = {
            "reshape_transform": lambda tokens: tokens[:, 1:].reshape(len(tokens), 4, 4, -1).permute(0, 3, 1, 2)
        }
        theirs = library(SegEigenCAM, model, model.blocks[-1].norm1, x, [ClassifierOutputTarget(1)], **reshaped)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_finer_cam_is_the_librarys_for_its_class_and_for_the_predicted_one(net):
    x = images(3)
    with contextlib.closing(io.StringIO()):
        theirs = FinerCAM(net, [net.act])
        np.testing.assert_allclose(explain(net, x, 2, "finer-cam"), theirs(x, target_idx=2), atol=1e-4)
        np.testing.assert_allclose(explain(net, x, None, "finer-cam"), theirs(x), atol=1e-4)


def test_eigen_grad_cam_is_the_librarys_but_for_its_sign(net):
    x = images(2)
    theirs = library(EigenGradCAM, net, net.act, x, [ClassifierOutputTarget(1)] * 2)
    a = net.act(net.conv(x)).detach().requires_grad_()
    (g,) = torch.autograd.grad(net.head(a)[:, 1].sum(), a)
    rows = (g * a).detach().flatten(2).mT
    rows = rows - rows.mean(1, keepdim=True)
    projected = (rows @ torch.linalg.svd(rows, full_matrices=False)[2][:, :1].mT).view(2, 8, 8)
    sign = torch.where(projected.amax((1, 2)) > -projected.amin((1, 2)), 1, -1)
    ours = explain(net, x, 1, "eigen-grad-cam")
    torch.testing.assert_close(ours, scaled((projected * sign[:, None, None]).relu(), (32, 32)), atol=1e-4, rtol=1e-4)
    flipped = scaled((-projected * sign[:, None, None]).relu(), (32, 32)).numpy()
    assert all(
        np.allclose(t, o, atol=1e-4) or np.allclose(t, f, atol=1e-4)
        for t, o, f in zip(theirs, ours, flipped, strict=True)
    )


@pytest.mark.parametrize("method", ["finer-cam", "shapley-cam"])
def test_of_a_single_answer_there_is_nothing_to_tell_it_apart_from(method, net):
    x, target = images(2), ClassifierOutputTarget(2)
    alone = explain(net, x, target, method)
    if method == "finer-cam":
        torch.testing.assert_close(alone, explain(net, x, 2, "grad-cam"))
    assert not torch.equal(alone, explain(net, x, 2, method))


@pytest.mark.parametrize(("answers", "target"), [(1, None), (5, Classes([0, 2]))])
def test_shapley_cam_of_what_is_linear_in_the_maps_is_grad_cam(answers, target):
    torch.manual_seed(1)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, answers)]
    linear, x = nn.Sequential(nn.Conv2d(3, 6, 4, 4), nn.ReLU(), *head).eval(), images(2)
    torch.testing.assert_close(explain(linear, x, target, "shapley-cam"), explain(linear, x, target, "grad-cam"))
