import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from lib.errors import WorkbookValueError
from lib.explain import REFERENCE_MAPS, agreement, choose_methods, forget, randomisation_check
from lib.explain.scores.map_similarity import rank_correlation, structural_similarity
from lib.explain.scores.parameter_randomisation import from_the_top
from lib.models import create_model
from tests.explain.models import images, model_of


def maps_of(seed, number=3, side=16):
    return torch.rand(number, side, side, generator=torch.Generator().manual_seed(seed)).mul(20).round() / 20


def test_rank_correlation_is_spearmans():
    first, second = maps_of(0), maps_of(0) * maps_of(1)
    expected = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected, atol=1e-12)
    assert np.isnan(rank_correlation(first, torch.zeros_like(first))).all()


def test_structural_similarity_is_its_formula_on_even_maps_and_1_of_a_map_with_itself():
    np.testing.assert_allclose(structural_similarity(maps_of(0), maps_of(0)), 1, atol=1e-6)
    even = structural_similarity(torch.full((1, 16, 16), 0.2), torch.full((1, 16, 16), 0.6))
    assert even == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4), abs=1e-4)
    assert structural_similarity(maps_of(0), maps_of(1)).shape == (3,)


def test_agreement_is_the_mean_of_each_pairs_correlations():
    maps = {"a": maps_of(0), "b": maps_of(0) * maps_of(1), "c": maps_of(2)}
    maps["c"][1] = 0  # an even map agrees with nothing
    found = agreement(maps)
    assert list(found.index) == list(found.columns) == ["a", "b", "c"]
    np.testing.assert_allclose(np.diag(found), 1)
    assert found.loc["a", "b"] == pytest.approx(rank_correlation(maps["a"], maps["b"]).mean())
    assert found.loc["c", "a"] == pytest.approx(np.nanmean(rank_correlation(maps["c"], maps["a"])))
    with pytest.raises(WorkbookValueError, match="same images"):
        agreement({"a": maps_of(0), "b": maps_of(0)[:2]})


@pytest.mark.parametrize("similarity", ["spearman", "ssim"])
def test_forgetting_changes_maps_of_gradients_and_no_map_that_ignores_the_network(similarity):
    model, x = model_of("glsa"), images(4)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    for method in ("grad-cam", "gradient-x-input"):
        cascade = randomisation_check(model, x, method=method, similarity=similarity, stages=3)
        assert cascade.similarity.shape == (3, 4)
        assert np.nanmean(cascade.similarity[-1]) < 0.6
    reference = randomisation_check(model, x, method="random", similarity=similarity, stages=3)
    np.testing.assert_allclose(reference.similarity, 1, atol=1e-6)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert cascade.lowest[-1] == "backbone.net.conv1.0"


def test_the_cascade_is_the_same_for_the_same_seed_and_begins_at_the_head():
    model, x = model_of("vgg"), images(2)
    runs = [randomisation_check(model, x, stages=4, seed=seed).similarity for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    order = from_the_top(model, x)
    assert order[0] == "net.classifier.2"
    assert order[-1] == "net.features.0"


def test_modules_come_from_the_top_wherever_they_are_registered():
    glsa = from_the_top(model_of("glsa"), images(1))
    assert (
        glsa.index("backbone.net.conv3.0") < glsa.index("block.attention.to_qkv") < glsa.index("backbone.net.conv2.0")
    )
    dcal = from_the_top(model_of("dcal"), images(1))
    assert dcal[0] == "glca_head"
    assert "glca.block.attn.qkv" in dcal
    assert dcal.index("glca.block.attn.qkv") < dcal.index("vit.blocks.1.mlp.fc2")
    assert "weighting" not in dcal  # of the loss alone


@pytest.mark.parametrize(
    ("kind", "owners", "patches"),
    [
        ("dcal", ["vit"], "vit.patch_embed.proj"),
        ("timm vit", [""], "patch_embed.proj"),
        ("torchvision vit", ["encoder", ""], "conv_proj"),
    ],
)
def test_a_vits_own_tokens_are_forgotten_with_its_patch_embedding(kind, owners, patches):
    assert from_the_top(model_of(kind), images(1))[-len(owners) - 1 :] == [*owners, patches]


def test_parameters_stand_where_they_are_used():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused, self.late, self.early = nn.Linear(2, 2), nn.Conv2d(3, 2, 1), nn.Conv2d(3, 3, 1)
            self.scale = nn.Parameter(torch.ones(2))

        def forward(self, x):
            return self.scale * self.late(self.early(x)).mean((2, 3))

    assert from_the_top(Net(), images(1)) == ["", "late", "early"]


def test_a_frozen_network_forgets_in_inference_mode_too():
    model, x = copy.deepcopy(model_of("glsa")).requires_grad_(False), images(2)
    free = randomisation_check(model_of("glsa"), x, stages=2)
    with torch.inference_mode():
        bound = randomisation_check(model, images(2), stages=2)
    np.testing.assert_array_equal(bound.similarity, free.similarity)
    assert bound.lowest == free.lowest
    assert not any(p.requires_grad for p in model.parameters())


def test_what_has_no_parameters_has_nothing_to_forget():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(WorkbookValueError, match="Sequential has nothing to forget"):
        randomisation_check(model, images(1), method="gradient-x-input")


def test_an_unknown_similarity():
    with pytest.raises(WorkbookValueError, match="Unknown similarity 'cosine'"):
        randomisation_check(model_of("vgg"), images(1), similarity="cosine")


def test_maps_that_are_no_tensors():
    with pytest.raises(WorkbookValueError, match="not ndarray"):
        agreement({"a": maps_of(0).numpy()})


def test_forgetting_holds_every_method_and_draw():
    torch.manual_seed(0)
    model, images = create_model("toynet", num_classes=3, attn_type="none").eval(), torch.rand(2, 3, 32, 32)
    found = forget(model, images, [0, 1], ["grad-cam", "centre"], draws=2, stages=2)
    assert found.similarity["grad-cam"].shape == (2, 2 * 2)
    assert found.by_draw["centre"].shape == (2, 2)
    np.testing.assert_allclose(found.by_draw["centre"], 1)  # it knows no network
    again = randomisation_check(model, images, [0, 1], "grad-cam", stages=2, seed=1)
    np.testing.assert_array_equal(found.cascades["grad-cam"][1].similarity, again.similarity)
    assert found.lowest == again.lowest


def test_methods_are_chosen_by_name_and_references_come_last():
    model = create_model("toynet", num_classes=3, attn_type="none").eval()
    assert choose_methods(model, "Grad_CAM, centre") == ["grad-cam", *REFERENCE_MAPS]
    assert "ablation-cam" not in choose_methods(model, leave_out={"ablation-cam"})
    with pytest.raises(WorkbookValueError, match="reference maps only"):
        choose_methods(model, "random")


def test_ssim_tells_how_large_maps_have_to_be():
    assert structural_similarity(*torch.rand(2, 1, 6, 6)).shape == (1,)
    with pytest.raises(
        WorkbookValueError, match="of maps of 6×6 pixels at least, not of 5×9: take similarity='spearman'"
    ):
        structural_similarity(*torch.rand(2, 1, 5, 9))
