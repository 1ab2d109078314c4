"""How far maps move with their images, whether another class has another map, and what a part of the image is worth."""

import numpy as np
import pytest
import torch

from lib.errors import WorkbookValueError
from lib.explain import entropy, explain, infidelity, max_sensitivity, random_logit, sparseness
from lib.explain.methods.explain import explained
from lib.explain.scores.infidelity import SIDES, Removal, random_squares
from lib.explain.scores.perturbed_inference import PerturbedInference
from lib.explain.scores.robustness import moves, with_neighbours
from tests.explain.models import images, model_of


def test_neighbours_lie_within_the_radius_and_are_an_images_own():
    first, second = images(2)
    shown = with_neighbours(first, 4, radius=0.3)
    assert torch.equal(shown[0], first)
    changes = (shown[1:] - first).abs()
    assert 0.29 < changes.amax((1, 2, 3)).min() <= changes.max() <= 0.3
    assert torch.equal(shown, with_neighbours(first, 4, radius=0.3))
    assert not torch.equal(shown[1] - first, with_neighbours(first, 4, 0.3, seed=1)[1] - first)
    assert not torch.allclose(changes, (with_neighbours(second, 4, 0.3)[1:] - second).abs(), atol=1e-3)


def test_a_map_that_never_moves_is_robust_and_noise_is_not():
    model, x = model_of("lesa"), images(3)
    assert max_sensitivity(model, x, method="centre", samples=2).tolist() == [0, 0, 0]
    assert (max_sensitivity(model, x, method="noise", samples=2) > 0.5).all()


def test_an_image_has_its_score_whatever_stands_beside_it():
    model, x = model_of("lesa"), images(5)
    whole = moves(model, x, 1, samples=3)
    for batch_size in (1, 9):
        part = moves(model, x[2:4], 1, samples=3, batch_size=batch_size)
        np.testing.assert_allclose(part.of_maps, whole.of_maps[2:4], rtol=1e-2, atol=1e-3)
        np.testing.assert_array_equal(part.of_images, whole.of_images[2:4])
    maps = explain(model, x, 1)
    found = infidelity(model, x, maps, 1, samples=4)
    np.testing.assert_allclose(infidelity(model, x[2:4], maps[2:4], 1, samples=4, batch_size=3), found[2:4], atol=1e-8)
    other = random_logit(model, x, 1)
    np.testing.assert_allclose(random_logit(model, x[2:4], 1, batch_size=1), other[2:4], atol=1e-4)


def test_the_greatest_move_counts():
    x, model = images(1), model_of("lesa")
    found = moves(model, x, 2, samples=5)
    rows = with_neighbours(x[0], 5)
    maps = explain(model, rows, 2).flatten(1).double()
    moved = (maps[1:] - maps[0]).norm(dim=1)
    assert found.max_sensitivity[0] == pytest.approx((moved.max() / maps[0].norm()).item(), rel=1e-3)
    steps = (rows[1:] - rows[0]).flatten(1).double().norm(dim=1)
    assert found.local_lipschitz[0] == pytest.approx((moved / steps).max().item(), rel=1e-3)


def test_what_knows_no_class_is_the_same_for_another():
    model, x = model_of("glsa"), images(3)
    np.testing.assert_allclose(random_logit(model, x, method="eigen-cam"), 1, atol=1e-6)
    assert (random_logit(model, x, method="gradient-x-input") < 0.99).all()


def test_the_other_class_is_never_the_explained_one(monkeypatch):
    asked = []

    def watched(model, x, targets, method, **options):
        asked.append(targets)
        return explained(model, x, targets, method, **options)

    monkeypatch.setattr("lib.explain.scores.random_logit.explained", watched)
    x, targets = images(24, side=32), torch.arange(24) % 4
    random_logit(model_of("lesa"), x, targets, method="random")
    own, other = asked
    assert torch.equal(own, targets)
    assert (own != other).all()
    assert set(other.tolist()) == {0, 1, 2, 3}
    assert len({((o - t) % 4).item() for o, t in zip(other, own, strict=True)}) == 3


def test_squares_are_inside_and_of_all_sizes():
    squares = random_squares(torch.zeros(3, 40, 64), 2000)
    top, left, bottom, right = squares.T
    assert (top.min(), left.min()) == (0, 0)
    assert bottom.max() == 40
    assert right.max() == 64
    assert torch.equal(bottom - top, right - left)
    assert ((bottom - top).min(), (bottom - top).max()) == tuple(40 * side for side in SIDES)


class Summed(torch.nn.Module):
    """A class whose logit is a weighted sum of the pixels, and one whose logit is 0."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def forward(self, x):
        return torch.stack([(x * self.weights).sum((1, 2, 3)), torch.zeros(len(x))], dim=1)


def test_a_map_that_tells_the_losses_has_no_infidelity():
    """Weights so small that the probability is nearly a sum over pixels, too."""
    weights, x = torch.zeros(32, 32), torch.ones(2, 3, 32, 32)
    weights[8:] = 1e-3
    told, wrong = weights.expand(2, -1, -1), 1e-3 - weights.expand(2, -1, -1)
    removal = Removal(PerturbedInference(Summed(weights).eval(), x, 0))
    fits = removal.infidelity(1000 * told)
    assert (fits < 0.01 * removal.infidelity(wrong)).all()
    np.testing.assert_allclose(removal.infidelity(7 * told), fits)  # a map has no unit
    against = Removal(PerturbedInference(Summed(-weights).eval(), x, 0))
    nothing = (against.losses**2).mean(1)
    np.testing.assert_allclose(against.infidelity(told), nothing)  # the map's opposite would have told them
    assert (against.infidelity(told, rescaled=False) > nothing).all()


def test_sums_over_squares_are_those_of_a_loop():
    x, maps = images(2), torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(3))
    removal = Removal(PerturbedInference(model_of("lesa"), x, 1), samples=5)
    expected = [
        [m[top:bottom, left:right].double().sum().item() for top, left, bottom, right in of.tolist()]
        for m, of in zip(maps, removal.squares, strict=True)
    ]
    np.testing.assert_allclose(removal.sums(maps), expected)


def test_a_dot_is_sparse_and_an_even_map_is_not():
    dot = torch.zeros(3, 8, 8)
    dot[0, 3, 3], dot[1] = 1, 0.5
    assert sparseness(dot).tolist() == pytest.approx([63 / 64, 0, 0])
    assert entropy(dot).tolist() == pytest.approx([0, 1, 1])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda m, x: moves(m, x, samples=0), "samples must be"),
        (lambda m, x: moves(m, x, radius=0), "radius must be above 0, not 0"),
        (lambda m, x: random_logit(m, x, similarity="mse"), "Unknown similarity 'mse'"),
        (lambda m, x: random_logit(torch.nn.Sequential(m, torch.nn.Linear(4, 1)).eval(), x), "has one class"),
        (lambda m, x: infidelity(m, x, torch.rand(2, 8, 8)), "do not fit images"),
        (lambda m, x: max_sensitivity(m, x, method="rollout"), "has no 'rollout'"),
    ],
)
def test_what_cannot_be_asked(bad, message):
    with pytest.raises(WorkbookValueError, match=message):
        bad(model_of("lesa"), images(2))
