"""Deletion, insertion and ROAD against slow references: loops over images and steps, a sparse solver."""

import numpy as np
import pytest
import torch
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve
from torchvision.transforms.functional import gaussian_blur

from lib.errors import WorkbookValueError
from lib.explain import deletion, insertion, road, score_maps
from lib.explain.scores import imputation
from lib.explain.scores.imputation import imputed
from lib.explain.scores.pixel_ranks import ranks
from tests.explain.models import images, model_of


def maps_of(number=3, side=32, seed=1):
    return torch.rand(number, side, side, generator=torch.Generator().manual_seed(seed))


def probability(model, image, target):
    with torch.no_grad():
        return model(image[None]).softmax(1)[0, target].item()


def slow_curve(model, image, saliency, target, start, finish, steps):
    """As RISE's code has it: pixels in the order of the map, so many a step, one image at a time."""
    order = np.argsort(-saliency.numpy().reshape(-1), kind="stable")
    current, done, curve = start.clone(), 0, [probability(model, start, target)]
    for step in range(1, steps + 1):
        upto = saliency.numel() * step // steps
        for pixel in order[done:upto]:
            current[:, pixel // 32, pixel % 32] = finish[:, pixel // 32, pixel % 32]
        done = upto
        curve.append(probability(model, current, target))
    return curve


@pytest.mark.parametrize("steps", [1, 7])
def test_curves_are_those_of_a_loop_over_images_and_steps(steps):
    model, x, maps, targets = model_of("lesa"), images(3), maps_of(), [1, 0, 3]
    blurred = gaussian_blur(x, 11, 5.0)
    gone = [slow_curve(model, x[i], maps[i], targets[i], x[i], torch.zeros(3, 32, 32), steps) for i in range(3)]
    come = [slow_curve(model, x[i], maps[i], targets[i], blurred[i], x[i], steps) for i in range(3)]
    for batch_size in (5, 64):
        found = deletion(model, x, maps, targets, steps=steps, batch_size=batch_size)
        np.testing.assert_allclose(found.probabilities, gone, atol=1e-5)
        np.testing.assert_allclose(found.area, [np.trapezoid(c, dx=1 / steps) for c in gone], atol=1e-5)
        found = insertion(model, x, maps, targets, steps=steps, batch_size=batch_size)
        np.testing.assert_allclose(found.probabilities, come, atol=1e-5)


def test_the_ends_of_all_curves_of_an_image_are_asked_once():
    model, x, asked = model_of("lesa"), images(3), []
    handle = model.register_forward_hook(lambda module, given, answer: asked.append(len(answer)))
    try:
        score_maps(
            model, x, {"a": maps_of(), "b": maps_of(seed=2)}, [0, 1, 2], scores=["deletion", "insertion"], steps=4
        )
    finally:
        handle.remove()
    ends, between = 3 * 3, 3 * 3 * 2 * 2  # image, mean colour and blur; three steps of two scores of two maps
    assert sum(asked) == 1 + ends + between  # one image tells whether there are such classes


def test_without_targets_the_predicted_class_counts():
    model, x, maps = model_of("lesa"), images(3), maps_of()
    with torch.no_grad():
        predicted = model(x).argmax(1)
    free, told = (deletion(model, x, maps, targets, steps=3).probabilities for targets in (None, predicted))
    np.testing.assert_array_equal(free, told)


def test_other_baselines():
    model, x, maps = model_of("lesa"), images(1), maps_of(1)
    blurred = deletion(model, x, maps, 1, steps=2, baseline="blur").probabilities
    assert blurred[0, -1] == pytest.approx(probability(model, gaussian_blur(x, 11, 5.0)[0], 1), abs=1e-5)
    with pytest.raises(WorkbookValueError, match="Unknown baseline 'black'"):
        deletion(model, x, maps, 1, baseline="black")


def test_ranks_fall_with_the_map_and_equals_stand_in_one_drawn_order():
    maps = torch.tensor([[[0.1, 0.9], [0.5, 0.7]], [[4.0, 3.0], [2.0, 1.0]]])
    assert ranks(maps).tolist() == [[[3, 0], [2, 1]], [[0, 1], [2, 3]]]
    even = ranks(torch.zeros(2, 16, 16))
    assert even[0].flatten().sort().values.tolist() == list(range(256))
    assert torch.equal(even[0], even[1])
    assert even[0, :8].float().mean() == pytest.approx(127.5, abs=15)  # not row by row


def filled_by_solver(image, missing):
    """The same system, factorised: an equation a missing pixel."""
    places = {tuple(p): n for n, p in enumerate(np.argwhere(missing))}
    system, right = lil_matrix((len(places), len(places))), np.zeros((len(places), image.shape[0]))
    for (y, x), n in places.items():
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                at, weight = (y + dy, x + dx), 1 / 6 if dy == 0 or dx == 0 else 1 / 12
                if (dy, dx) == (0, 0) or not (0 <= at[0] < missing.shape[0] and 0 <= at[1] < missing.shape[1]):
                    continue
                system[n, n] += weight
                if at in places:
                    system[n, places[at]] -= weight
                else:
                    right[n] += weight * image[:, at[0], at[1]]
    found = image.copy()
    found[:, missing] = spsolve(system.tocsc(), right).T
    return found


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.995])
def test_holes_are_filled_as_a_sparse_solver_fills_them(share, monkeypatch):
    x, missing = images(2, side=16), maps_of(2, side=16) < share
    missing[1] = torch.arange(256).view(16, 16) < 256 * share  # one large hole
    expected = np.stack([filled_by_solver(x[i].double().numpy(), missing[i].numpy()) for i in range(2)])
    found = imputed(x, missing, noise=0)
    assert np.abs(found.numpy() - expected).mean() < imputation.NOISE / 2
    monkeypatch.setattr(imputation, "TOLERANCE", 1e-6)
    np.testing.assert_allclose(imputed(x, missing, noise=0).numpy(), expected, atol=1e-4)
    assert torch.equal(found[~missing[:, None].expand_as(x)], x[~missing[:, None].expand_as(x)])


def test_noise_is_on_missing_pixels_only_and_always_the_same():
    x, missing = images(2), maps_of(2) < 0.5
    grain = imputed(x, missing) - imputed(x, missing, noise=0)
    assert grain[~missing[:, None].expand_as(x)].abs().max() == 0
    assert grain[missing[:, None].expand_as(x)].std() == pytest.approx(0.01, rel=0.1)
    assert torch.equal(imputed(x[1:], missing[1:]), imputed(x, missing)[1:])
    with pytest.raises(WorkbookValueError, match="no known pixel"):
        imputed(x, torch.ones(2, 32, 32, dtype=torch.bool))


def test_road_asks_about_filled_images():
    model, x, maps = model_of("lesa"), images(2), maps_of(2)
    found = {name: road(model, x, maps, [1, 2], order=name, shares=(0.25, 0.5)) for name in ("MoRF", "LeRF")}
    for i in range(2):
        values = maps[i].flatten().sort().values
        for k, share in enumerate((0.25, 0.5)):
            n = int(1024 * share)
            first, last = maps[i] > values[-n - 1], maps[i] < values[n]
            for name, missing in (("MoRF", first), ("LeRF", last)):
                assert missing.sum() == n
                expected = probability(model, imputed(x[i : i + 1], missing[None])[0], i + 1)
                assert found[name][i, k] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maps": torch.rand(2, 32, 32)}, r"shape \[2, 32, 32\] do not fit images of shape \[3, 3, 32, 32\]"),
        ({"maps": torch.full((3, 32, 32), float("nan"))}, "not finite"),
        ({"maps": np.ones((3, 32, 32))}, r"a tensor \[N, H, W\], not ndarray"),
        ({"steps": 0}, "steps must be"),
        ({"steps": 2000}, "more than the 1024 pixels"),
        ({"targets": 9}, "There is no class 9"),
        ({"images": torch.zeros(3, 1, 32, 32)}, r"\[N, 3, H, W\]"),
    ],
)
def test_what_cannot_be_scored(arguments, message):
    given = {"images": images(3), "maps": maps_of(), **arguments}
    with pytest.raises(WorkbookValueError, match=message):
        deletion(model_of("lesa"), given.pop("images"), given.pop("maps"), **given)


def test_shares_and_orders_that_cannot_be():
    for bad in ((), (0.0,), (1.0,)):
        with pytest.raises(WorkbookValueError, match="above 0 and below 1"):
            road(model_of("lesa"), images(3), maps_of(), shares=bad)
    with pytest.raises(WorkbookValueError, match="Unknown order 'first'"):
        road(model_of("lesa"), images(3), maps_of(), order="first")
