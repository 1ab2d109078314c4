"""Hits at the place that decides: of maps whose hits are known, and of a network of the recipe needles."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lib import create_model
from lib.data import Truth
from lib.data.phantoms.mosaic_drawing import SQUARES
from lib.data.phantoms.needles import KINDS, TILES
from lib.errors import WorkbookValueError
from lib.evaluation.test_images import select_images
from lib.explain.methods.explain import METHODS, REFERENCE_MAPS, Method
from lib.explain.scores.deciding_places import compare_hits, hits_of, hits_table, place_masks
from lib.training import RunStore, fit, prepare, profile_config

COUNT = 120  # images of phantom-needles, a third of them to test on


def best_tile(model, images, targets):
    """[B, 5, 5]: how well each tile agrees with any code, which finds the needle without a network."""
    squares = images.mean(1).unflatten(1, (TILES, SQUARES, 2)).unflatten(4, (TILES, SQUARES, 2)).mean((3, 6))
    codes = torch.from_numpy(np.stack(list(KINDS.values()))).float()
    return torch.einsum("b y s x t, k s t -> b k y x", squares, codes).amax(1).clamp(min=0) ** 3


def even(model, images, targets):
    return torch.ones(len(images), TILES, TILES)


@pytest.fixture
def run(tmp_path, monkeypatch):
    for name, method in {"best tile": best_tile, "even": even}.items():
        monkeypatch.setitem(METHODS, name, Method(method, lambda model: True, by_class=False))
    settings = {"limit_images": COUNT, "data_root": str(tmp_path / "data"), "attention": "none", "backbone": "toynet"}
    config = profile_config("needles", **settings)
    torch.manual_seed(0)
    model = create_model("toynet", num_classes=4).eval()
    return SimpleNamespace(path=tmp_path / "runs" / "run", config=config, model=lambda: model)


def images_of(run):
    return select_images(run.config, prepare(run.config, RunStore(run.path.parent)))


def test_place_masks_are_discs_about_the_parts_that_are_seen():
    places = np.array([[[0.5, 0.25], [0.9, 0.9]], [[np.nan, np.nan], [0.1, 0.5]], [[np.nan] * 2] * 2])
    truth = Truth(np.full((3, 4), np.nan), ("beak", "tail"), places)
    masks = place_masks(truth, (40, 40), tolerance=0.1)
    assert masks.shape == (3, 40, 40)
    assert not masks[2].any()
    y, x = np.nonzero(masks[0])
    beak = (x < 30) & (y < 20)
    np.testing.assert_allclose([x[beak].mean() + 0.5, y[beak].mean() + 0.5], [20, 10])
    assert beak.sum() == pytest.approx(np.pi * 4**2, rel=0.1)
    assert (place_masks(truth, (40, 40), ["beak"], 0.1)[0].sum(), beak.sum()) == (beak.sum(), beak.sum())
    with pytest.raises(WorkbookValueError, match="part 'beek'"):
        place_masks(truth, (40, 40), ["beek"])
    with pytest.raises(WorkbookValueError, match="have no parts, so nobody knows which place decides"):
        place_masks(Truth(truth.boxes, (), places[:, :0]), (40, 40))


def test_hits_are_those_of_who_knows_the_codes_and_of_who_knows_nothing(run):
    images = images_of(run)
    hits = hits_of([run, run], images, ["best tile", "even"])
    assert set(hits) == {"best tile", "even", *REFERENCE_MAPS}
    assert {values.shape for values in hits.values()} == {(2, COUNT // 3)}
    assert hits["best tile"].mean() > 0.75
    np.testing.assert_allclose(hits["even"], place_masks(images.truth, (40, 40)).mean((1, 2))[None].repeat(2, 0))
    table = hits_table([run, run], images, ["best tile", "even"]).set_index("method")
    assert table.loc["best tile", "beats"]
    assert not table.loc["even", "beats"]
    with pytest.raises(WorkbookValueError, match="no networks to explain"):
        hits_of([], images)
    with pytest.raises(WorkbookValueError, match="has no 'rollout'"):
        hits_of([run], images, ["rollout"])


def test_a_comparison_is_with_the_best_map_that_knows_nothing(run):
    hits = hits_of([run], images_of(run), ["best tile"])
    best = max(hits[name].mean() for name in REFERENCE_MAPS)
    found = compare_hits([run, run], "best tile")
    assert found.difference == pytest.approx(hits["best tile"].mean() - best)
    assert (found.low > 0.4, found.p < 0.001, found.images) == (True, True, COUNT // 3)
    assert compare_hits([run, run], "even").low < 0


def test_a_network_finds_needles_better_than_bags_of_patches_and_its_rollout_points_at_them(tmp_path):
    """The upper end of the bracket in tests/data/phantoms/test_mosaics.py, whose bags of patches stay below 0.7."""
    run = fit(profile_config("needles", attention="SA", data_root=str(tmp_path / "data")), tmp_path / "runs")
    assert run.metrics["intervals"]["accuracy"][0] > 0.7
    assert compare_hits([run], "rollout").low > 0.2
