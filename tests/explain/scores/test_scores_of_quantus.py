"""Scores that Quantus has, too, against Quantus; it draws other perturbations, so it is given ours."""

import numpy as np
import pytest
import torch
from torch import nn

from lib.explain import deletion, entropy, explain, local_lipschitz, max_sensitivity, random_logit, sparseness
from lib.explain.scores.infidelity import Removal
from lib.explain.scores.map_similarity import rank_correlation
from lib.explain.scores.mask_scores import energy_inside, overlap, pointing_game
from lib.explain.scores.perturbed_inference import PerturbedInference
from lib.explain.scores.robustness import SAMPLES, with_neighbours

quantus = pytest.importorskip("quantus")
QUIET = {"disable_warnings": True, "display_progressbar": False}
RAW = {**QUIET, "abs": False, "normalise": False}
N, SIDE, CLASSES = 3, 24, 2
METHOD = "gradient-x-input"


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3, 2, padding=1), nn.Tanh(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(4 * 12 * 12, CLASSES)).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """The colours of each pixel sum to 1: there Quantus' map times pixel is the map."""
    return torch.randn(N, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).softmax(1)


@pytest.fixture(scope="module")
def targets() -> torch.Tensor:
    return torch.tensor([0, 1, 0])


@pytest.fixture(scope="module")
def maps(model, images, targets) -> torch.Tensor:
    return explain(model, images, targets, METHOD)


def asked(metric, model, images, targets, maps, **options):
    """What Quantus' metric gives [N, …]."""
    explained = {
        "explain_func": lambda model, inputs, targets, **_: explain(
            model, torch.as_tensor(inputs), torch.as_tensor(targets), METHOD
        ).numpy()[:, None]
    }
    arrays = {"x_batch": images.numpy(), "y_batch": targets.numpy(), "a_batch": maps.numpy()[:, None].copy()}
    return np.array(metric(model=model, **arrays, **explained, device="cpu", channel_first=True, **options))


def test_sparseness_and_entropy(model, images, targets, maps):
    expected = asked(quantus.Sparseness(**QUIET), model, images, targets, maps)
    np.testing.assert_allclose(sparseness(maps), expected, atol=1e-6)
    expected = asked(quantus.Complexity(**QUIET), model, images, targets, maps)
    np.testing.assert_allclose(entropy(maps) * np.log(SIDE * SIDE), expected, rtol=1e-5)


def test_places(model, images, targets, maps):
    """The greatest pixel, the mass, and the first pixels on an object."""
    masks = torch.rand(N, SIDE, SIDE, generator=torch.Generator().manual_seed(2)).numpy() < 0.3
    given = {"s_batch": masks[:, None]}
    for ours, theirs in (
        (pointing_game, quantus.PointingGame),
        (energy_inside, quantus.RelevanceMassAccuracy),
        (lambda *pair: 2 * overlap(*pair) / (1 + overlap(*pair)), quantus.RelevanceRankAccuracy),
    ):
        expected = asked(theirs(**RAW), model, images, targets, maps, **given)
        np.testing.assert_allclose(ours(maps, masks), expected, atol=1e-6)


def test_robustness(model, images, targets, maps):
    shown = torch.stack([with_neighbours(image) for image in images])  # [N, 1 + samples, 3, H, W]

    def drawn_here():
        steps = iter(range(1, 1 + SAMPLES))
        return lambda arr, **_: shown[:, next(steps)].reshape(len(arr), -1).numpy()

    for ours, theirs in (
        (max_sensitivity, quantus.MaxSensitivity),
        (local_lipschitz, quantus.LocalLipschitzEstimate),
    ):
        metric = theirs(nr_samples=SAMPLES, perturb_func=drawn_here(), **RAW)
        expected = asked(metric, model, images, targets, maps)
        for batch_size in (4, 64):  # an image at a time, all at once
            found = ours(model, images, targets, METHOD, batch_size=batch_size)
            np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert (found > 0).all()


def test_infidelity(model, images, targets, maps):
    blocks = 36  # of 4 pixels a side, as many as Quantus asks of once
    removal = Removal(PerturbedInference(model, images, targets), samples=blocks)
    steps = iter(range(blocks))

    def drawn_here(arr, **_):
        without = images.numpy().copy()
        k = next(steps)
        for image, (top, left, bottom, right) in zip(without, removal.squares[:, k].tolist(), strict=True):
            image[:, top:bottom, left:right] = 0
        return without.reshape(len(arr), -1)

    metric = quantus.Infidelity(perturb_patch_sizes=[4], n_perturb_samples=1, perturb_func=drawn_here, **RAW)
    expected = asked(metric, model, images, targets, maps, softmax=True)
    np.testing.assert_allclose(removal.infidelity(maps, rescaled=False), expected, rtol=1e-4)
    assert (removal.infidelity(maps) < expected).all()


def test_infidelity_with_the_factor_that_fits_best_is_captums(model, images, targets, maps):
    captum = pytest.importorskip("captum.metrics")
    removal = Removal(PerturbedInference(model, images, targets), samples=6)

    def drawn_here(x):
        without = x.clone()  # each image as often as there are squares, one copy after the other
        for image, (top, left, bottom, right) in zip(without, removal.squares.flatten(0, 1).tolist(), strict=True):
            image[:, top:bottom, left:right] = 0
        return x - without, without

    expected = captum.infidelity(
        lambda x: model(x).softmax(1),
        drawn_here,
        images,
        maps[:, None].expand_as(images),
        target=targets,
        n_perturb_samples=6,
        normalize=True,
    )
    fits = (removal.sums(maps) * removal.losses).sum(1) > 0  # else the factor is below 0 there, and 0 here
    assert fits.any()
    np.testing.assert_allclose(removal.infidelity(maps)[fits], expected.detach().numpy()[fits], rtol=1e-3, atol=1e-9)


def test_random_logit(model, images, targets, maps):
    """Of two classes the other is no chance."""

    def similarity(a, b, batched):
        return rank_correlation(*(torch.from_numpy(each).view(-1, SIDE, SIDE) for each in (a, b)))

    metric = quantus.RandomLogit(num_classes=CLASSES, similarity_func=similarity, **RAW)
    expected = asked(metric, model, images, targets, maps)
    np.testing.assert_allclose(random_logit(model, images, targets, METHOD, similarity="spearman"), expected, atol=1e-6)
    assert (expected < 0.99).all()


def test_deletion_is_pixel_flipping(model, images, targets):
    """To the mean colour, and with the whole image as first step."""
    distinct = torch.rand(N, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    flipping = quantus.PixelFlipping(features_in_step=3 * SIDE * SIDE // 12, perturb_baseline=0.0, **RAW)
    expected = asked(flipping, model, images, targets, distinct, softmax=True)
    found = deletion(model, images, distinct, targets, steps=12).probabilities
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-5)
