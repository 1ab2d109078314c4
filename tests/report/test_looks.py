"""What networks look at on test images, over seeds and images."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from lib.data import ImageSet, Truth
from lib.dcal import create_dcal_model
from lib.errors import WorkbookValueError
from lib.report import looks
from lib.report.looks import Subjects, compare_looks, estimate_look, looked, maps_of
from lib.training.inference import network_input

N = 40
SIZES = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}


@pytest.fixture
def subjects():
    rng = np.random.default_rng(0)
    low, side = rng.uniform(0, 0.5, (N, 2)), rng.uniform(0.2, 0.5, (N, 2))
    boxes = np.concatenate([low, low + side], axis=1)
    boxes[3] = np.nan
    table = {"image_id": [f"i{i}" for i in range(N)], "path": "", "label": 0, "group": [f"g{i:02d}" for i in range(N)]}
    images = ImageSet("made", ("one",), pd.DataFrame({**table, "mask": "", "part": ""}))
    pixels = rng.integers(0, 255, (N, 32, 32, 3), dtype=np.uint8)
    return Subjects(images, pixels, Truth(boxes, (), np.empty((N, 0, 2))), "none")


def maps(seed):
    return np.random.default_rng(seed).random((N, 4, 4))


def test_maps_are_the_models_own_batch_by_batch(subjects, monkeypatch):
    monkeypatch.setattr(looks, "BATCH", 16)
    model = create_dcal_model("deit_tiny_patch16_224", 5, top_ratio=0.25, **SIZES).eval()
    found = maps_of(SimpleNamespace(model=lambda: model), subjects)
    with torch.inference_mode():
        model(network_input(model, subjects.pixels))
        expected = model.maps()
    assert set(found) == set(expected)
    for name, each in found.items():
        assert each.shape == (N, 4, 4)
        np.testing.assert_allclose(each, expected[name], atol=1e-5)


def test_a_measure_is_the_mean_over_seeds_of_the_images_that_have_a_truth(subjects):
    side = looked([maps(1), maps(2)], subjects)
    boxes = estimate_look(side, "in the box")
    assert boxes.images == N - 1
    assert boxes.seeds == 2
    assert boxes.mean == pytest.approx(np.nanmean(side.values["in the box"]))
    assert boxes.low < boxes.mean < boxes.high
    assert estimate_look(side, "entropy").images == N


def test_differences_are_paired_by_image(subjects):
    first, second = looked([maps(1)], subjects), looked([maps(1) + 1], subjects)
    found = compare_looks(second, first, "entropy")
    assert found.difference > 0  # more even, on every image
    assert found.low > 0
    alone = estimate_look(first, "in the box"), estimate_look(second, "in the box")
    box = compare_looks(second, first, "in the box")
    assert box.high - box.low < 0.7 * sum(each.high - each.low for each in alone)
    assert found.p is None  # one seed a side
    same = compare_looks(first, first, "entropy")
    assert same.difference == same.low == same.high == 0


def test_three_seeds_make_a_test(subjects):
    sides = [
        looked([maps(seed) + offset for seed in seeds], subjects) for seeds, offset in (((1, 2, 3), 0), ((4, 5, 6), 1))
    ]
    assert compare_looks(*sides, "entropy").p < 0.01
    assert compare_looks(sides[0], looked([maps(7), maps(8), maps(9)], subjects), "in the box").p > 0.01


def test_bad_input(subjects):
    with pytest.raises(WorkbookValueError, match="Give maps of the 40 subjects"):
        looked([], subjects)
    with pytest.raises(WorkbookValueError, match="Give maps of the 40 subjects"):
        looked([maps(1)[:5]], subjects)
    with pytest.raises(WorkbookValueError, match="Unknown measure 'entropie'. Did you mean 'entropy'"):
        estimate_look(looked([maps(1)], subjects), "entropie")
