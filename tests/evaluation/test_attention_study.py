"""What networks look at on test images, over seeds and images."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lib.data import Truth
from lib.dcal import create_dcal_model
from lib.errors import WorkbookValueError
from lib.evaluation import test_images
from lib.evaluation.attention_measures import entropy
from lib.evaluation.attention_study import (
    compare_attention,
    compare_rollouts,
    estimate_attention,
    maps_of,
    measure_attention,
)
from lib.evaluation.test_images import select_images
from lib.training import RunConfig, RunStore, prepare, profile_config
from tests.evaluation.made_images import images_of

N = 40
SIZES = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    low, side = rng.uniform(0, 0.5, (N, 2)), rng.uniform(0.2, 0.5, (N, 2))
    boxes = np.concatenate([low, low + side], axis=1)
    boxes[3] = np.nan
    config = RunConfig(dataset="phantom-birds", augmentation="none", image_size=32)
    return images_of(tmp_path, config, Truth(boxes, (), np.empty((N, 0, 2))), count=N)


def maps(seed):
    return np.random.default_rng(seed).random((N, 4, 4))


def test_maps_are_the_models_own_batch_by_batch(images, monkeypatch):
    monkeypatch.setattr(test_images, "BATCH", 16)
    model = create_dcal_model("deit_tiny_patch16_224", 5, top_ratio=0.25, **SIZES).eval()
    found = maps_of(SimpleNamespace(model=lambda: model), images)
    with torch.inference_mode():
        model(images.batch(model))
        expected = model.maps()
    layers, _, heads = found.heads.shape[:3]
    same = {"rollout": found.rollout, "glca_selected": found.selected, "glca_attention": found.glca}
    same |= {f"rollout_layer_{n}": found.rollouts[n - 1] for n in range(1, layers + 1)}
    same |= {
        f"layer_{n}_head_{h}": found.heads[n - 1, :, h - 1] for n in range(1, layers + 1) for h in range(1, heads + 1)
    }
    assert set(same) == set(expected)
    for name, values in same.items():
        assert values.shape == (N, 4, 4)
        np.testing.assert_allclose(values, expected[name], atol=1e-5)
    some = found.of([4, 2])
    np.testing.assert_array_equal(some.rollout, found.rollout[[4, 2]])
    np.testing.assert_array_equal(some.glca, found.glca[[4, 2]])


def test_a_network_without_glca_has_maps_of_its_layers_alone(images):
    model = create_dcal_model("deit_tiny_patch16_224", 5, glca=False, **SIZES).eval()
    found = maps_of(SimpleNamespace(model=lambda: model), images).of(slice(2))
    assert found.rollouts.shape == (SIZES["depth"], 2, 4, 4)
    assert found.selected is None
    assert found.glca is None


def test_a_measure_is_the_mean_over_seeds_of_the_images_that_have_a_truth(images):
    side = measure_attention([maps(1), maps(2)], images)
    boxes = estimate_attention(side, "in the box")
    assert boxes.images == N - 1
    assert boxes.seeds == 2
    assert boxes.mean == pytest.approx(np.nanmean(side.values["in the box"]))
    assert boxes.low < boxes.mean < boxes.high
    assert estimate_attention(side, "entropy").images == N


def test_differences_are_paired_by_image(images):
    first, second = measure_attention([maps(1)], images), measure_attention([maps(1) + 1], images)
    found = compare_attention(second, first, "entropy")
    assert found.difference > 0  # more even, on every image
    assert found.low > 0
    alone = estimate_attention(first, "in the box"), estimate_attention(second, "in the box")
    box = compare_attention(second, first, "in the box")
    assert box.high - box.low < 0.7 * sum(each.high - each.low for each in alone)
    assert found.p is None  # one seed a side
    same = compare_attention(first, first, "entropy")
    assert same.difference == same.low == same.high == 0


def test_three_seeds_make_a_test(images):
    sides = [
        measure_attention([maps(seed) + offset for seed in seeds], images)
        for seeds, offset in (((1, 2, 3), 0), ((4, 5, 6), 1))
    ]
    assert compare_attention(*sides, "entropy").p < 0.01
    assert compare_attention(sides[0], measure_attention([maps(7), maps(8), maps(9)], images), "in the box").p > 0.01


def test_bad_input(images):
    with pytest.raises(WorkbookValueError, match="Give maps of the 40 test images"):
        measure_attention([], images)
    with pytest.raises(WorkbookValueError, match="Give maps of the 40 test images"):
        measure_attention([maps(1)[:5]], images)
    with pytest.raises(WorkbookValueError, match="Unknown measure 'entropie'. Did you mean 'entropy'"):
        estimate_attention(measure_attention([maps(1)], images), "entropie")


def test_runs_are_compared_by_their_rollouts_seed_by_seed(tmp_path):
    config = profile_config("needles", limit_images=60, data_root=str(tmp_path / "data"))

    def run(seed, sharpness):
        torch.manual_seed(seed)
        model = create_dcal_model("test_vit", 4, img_size=40, patch_size=8, depth=2, pwca=False).eval()
        for block in model.vit.blocks:
            block.attn.qkv.weight.data *= sharpness
        return SimpleNamespace(path=tmp_path / "runs" / str(seed), config=config, model=lambda: model)

    sharp, dull = ([run(seed, sharpness) for seed in range(3)] for sharpness in (8, 1))
    found = compare_rollouts(dull, sharp, "entropy")
    images = select_images(config, prepare(config, RunStore(tmp_path / "runs")))
    expected = [entropy(maps_of(each, images).rollout).mean() for each in (*dull, *sharp)]
    assert found.difference == pytest.approx(np.mean(expected[:3]) - np.mean(expected[3:]), abs=1e-6)
    assert (found.low > 0, found.seeds, found.images) == (True, 3, 20)
    with pytest.raises(WorkbookValueError, match="3 networks on one side and 2 on the other"):
        compare_rollouts(dull, sharp[:2], "entropy")
