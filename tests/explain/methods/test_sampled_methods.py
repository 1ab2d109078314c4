"""SmoothGrad, expected gradients, occlusion and RISE: their formulas and captum, and draws that disturb nothing."""

import sys

import pytest
import torch
import torch.nn.functional as F
from captum.attr import GradientShap, NoiseTunnel, Occlusion, Saliency
from torch import nn

from lib.errors import WorkbookError, WorkbookValueError
from lib.explain import explain, methods_of
from lib.explain.methods import perturbation, sampled_gradients
from lib.explain.methods.explain import scaled
from lib.explain.methods.perturbation import random_masks
from lib.explain.methods.sampled_gradients import NOISE, SAMPLES, expected
from tests.explain.models import CLASSES, images

METHODS = ("smooth-grad", "expected-gradients", "occlusion", "rise")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 8), nn.Tanh(), nn.Linear(8, CLASSES))
    return nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Tanh(), *head).eval()


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(perturbation, "MASKS", 60)


@pytest.mark.parametrize("method", METHODS)
def test_neither_batches_nor_neighbours_nor_the_worlds_draws_matter(method, net):
    x, state = images(3), torch.get_rng_state()
    maps = explain(net, x, [0, 1, 2], method)
    assert torch.equal(torch.get_rng_state(), state)
    assert maps.amax((1, 2)).tolist() == [1, 1, 1]
    torch.manual_seed(7)
    torch.testing.assert_close(explain(net, x[1:], [1, 2], method, batch_size=1), maps[1:], atol=1e-4, rtol=0)
    with torch.no_grad():
        answers = net(x).argmax(1)
    torch.testing.assert_close(explain(net, x, None, method), explain(net, x, answers, method))


@pytest.mark.parametrize("method", METHODS)
def test_no_pass_holds_more_images_than_allowed(method, net):
    seen = []
    with net.register_forward_pre_hook(lambda _, args: seen.append(len(args[0]))):
        explain(net, images(2), 1, method, batch_size=5)
    assert max(seen) == 4  # two images, twice


def test_smooth_grad_is_captums_with_the_same_noise(net, monkeypatch):
    x, generator = images(2), torch.Generator().manual_seed(0)
    noise = torch.randn(SAMPLES, 1, *x.shape[1:], generator=generator)
    spread = NOISE * (x.amax((1, 2, 3)) - x.amin((1, 2, 3)))
    mean = torch.zeros_like(x)
    for n in noise:
        noisy = x + spread[:, None, None, None] * n
        mean += Saliency(net).attribute(noisy, torch.tensor([1, 2]), abs=False) / SAMPLES
    torch.testing.assert_close(
        explain(net, x, [1, 2], "smooth-grad"), scaled(mean.abs().sum(1), (32, 32)), atol=1e-4, rtol=0
    )
    monkeypatch.setattr(sampled_gradients, "NOISE", 0.0)
    quiet = NoiseTunnel(Saliency(net)).attribute(x, nt_samples=2, stdevs=0.0, target=1, abs=False)
    torch.testing.assert_close(
        explain(net, x, 1, "smooth-grad"), scaled(quiet.abs().sum(1), (32, 32)), atol=1e-4, rtol=0
    )


def test_expected_gradients_are_captums_for_one_baseline_and_sum_to_the_difference_of_the_answers(net, monkeypatch):
    x, baselines, classes = images(2), images(5, seed=3), torch.tensor([1, 2])
    monkeypatch.setattr(sampled_gradients, "SAMPLES", 1500)
    parts = expected(net, x, classes, 64, baselines)
    torch.manual_seed(0)
    theirs = GradientShap(net).attribute(x, baselines, n_samples=300, stdevs=0.0, target=classes)
    assert F.cosine_similarity(parts.flatten(1), theirs.flatten(1)).min() > 0.99
    with torch.no_grad():
        difference = net(x)[[0, 1], classes] - net(baselines)[:, classes].mean(0)
    torch.testing.assert_close(parts.sum((1, 2, 3)), difference, atol=0.05, rtol=0)
    with torch.no_grad():
        noise = net(torch.randn(2000, 3, 32, 32))[:, classes].mean(0)
        difference = net(x)[[0, 1], classes] - noise
    torch.testing.assert_close(expected(net, x, classes, 64).sum((1, 2, 3)), difference, atol=0.05, rtol=0)


def test_baselines_are_those_that_are_given(net):
    x = images(2)
    blank = explain(net, x, 1, "expected-gradients", baselines=torch.zeros(1, 3, 32, 32))
    assert torch.equal(blank, explain(net, x, 1, "expected-gradients", baselines=torch.zeros(3, 3, 32, 32)))
    assert not torch.equal(blank, explain(net, x, 1, "expected-gradients"))
    with pytest.raises(WorkbookValueError, match=r"baselines are of shape \[1, 3, 8, 8\], not \[M, 3, 32, 32\]"):
        explain(net, x, 1, "expected-gradients", baselines=torch.zeros(1, 3, 8, 8))
    with pytest.raises(WorkbookValueError, match="baselines are a tensor .* not ndarray: torch.as_tensor makes one"):
        explain(net, x, 1, "expected-gradients", baselines=torch.zeros(1, 3, 32, 32).numpy())


def test_occlusion_is_captums_and_covers_what_counts(net):
    x = images(2)
    theirs = Occlusion(net).attribute(x, (3, 4, 4), (3, 2, 2), 0, torch.tensor([1, 2]))[:, 0].clamp(min=0)
    torch.testing.assert_close(explain(net, x, [1, 2], "occlusion"), scaled(theirs, (32, 32)))


def test_rise_is_the_mean_of_masks_by_what_they_leave(net):
    x, masks = images(2), random_masks(32, 32, torch.arange(60))
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-5
    assert masks.mean() == pytest.approx(0.5, abs=0.03)
    assert len({mask.sum().item() for mask in masks}) == 60
    with torch.no_grad():
        left = torch.stack([net(x * mask).softmax(1)[[0, 1], [1, 2]] for mask in masks])
    expected_maps = (left[:, :, None, None] * masks[:, None]).sum(0) / (60 * 0.5)
    torch.testing.assert_close(explain(net, x, [1, 2], "rise"), scaled(expected_maps, (32, 32)), atol=1e-4, rtol=0)


def test_masks_are_even_where_pictures_are_not_square():
    masks = random_masks(20, 45, torch.arange(60))
    assert masks.shape == (60, 20, 45)
    assert masks.mean((0, 1)).std() < 0.1
    assert torch.equal(random_masks(20, 45, torch.tensor([3, 7])), masks[[3, 7]])


def test_without_captum_there_is_no_occlusion(net, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(WorkbookError, match=r"needs captum, .* pip install captum, or .*\.\[captum\]"):
        explain(net, images(), method="occlusion")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert {"occlusion", "rise"} & set(methods_of(net)) == {"rise"}
