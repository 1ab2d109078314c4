import pytest
import torch
from torch.nn.functional import conv2d

from lib.errors import WorkbookValueError
from lib.glsa import FUSION_STRATEGIES, BaseFusion
from tests.glsa.reference import conv1x1, flat, folded, matmul_attention
from tests.helpers import float64, randomised


def original(f, A, L):
    return conv1x1(A * L, f.project)


def learnable_gate(f, A, L):
    g = torch.sigmoid(conv1x1(torch.cat([A, L], 1), f.gate))
    return conv1x1(g * A + (1 - g) * L, f.project)


def weighted_add(f, A, L):
    total = f.alpha.abs() + f.beta.abs() + 1e-4
    mixed = f.alpha.abs() / total * A + f.beta.abs() / total * L + torch.sigmoid(f.gamma) * A * L
    return conv1x1(mixed, f.project)


def channel_attn(f, A, L):
    squeezed = torch.cat([A.mean((2, 3)), L.mean((2, 3))], dim=1)
    hidden = (squeezed @ f.weights[0].weight.flatten(1).T).clamp(min=0)
    w = torch.sigmoid(hidden @ f.weights[2].weight.flatten(1).T)[:, :, None, None]
    return conv1x1(w[:, : A.shape[1]] * A + w[:, A.shape[1] :] * L, f.project)


def spatial_attn(f, A, L):
    m = torch.sigmoid(conv2d(torch.stack([A.mean(1), L.mean(1)], 1), f.mask.weight, padding=3))
    return conv1x1(m * A + (1 - m) * L, f.project)


def cross_attn(f, A, L):
    q, k, v = flat(conv1x1(A, f.to_q)), flat(conv1x1(L, f.to_k)), flat(conv1x1(L, f.to_v))
    return conv1x1(folded(matmul_attention(q, k, v, 4), A), f.to_out)


FORMULAS = [original, learnable_gate, weighted_add, channel_attn, spatial_attn, cross_attn]


def build(name):
    return randomised(FUSION_STRATEGIES[name].build(32, num_heads=4))


@pytest.fixture
def A():
    return float64(2, 32, 4, 5, seed=2)


@pytest.fixture
def L():
    return float64(2, 32, 4, 5, seed=3)


def test_every_strategy_has_a_formula_here():
    assert [formula.__name__ for formula in FORMULAS] == list(FUSION_STRATEGIES)


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f.__name__)
def test_is_its_formula(formula, A, L):
    fusion = build(formula.__name__)
    torch.testing.assert_close(fusion(A, L), formula(fusion, A, L))


def test_weighted_add_takes_the_magnitude_of_its_weights(A, L):
    fusion = build("weighted_add")
    out = fusion(A, L)
    fusion.alpha.data.neg_()
    torch.testing.assert_close(fusion(A, L), out)


def test_weighted_add_starts_as_the_mean_and_half_the_product():
    fusion = FUSION_STRATEGIES["weighted_add"](32)
    assert (fusion.alpha.item(), fusion.beta.item(), fusion.gamma.item(), fusion.EPS) == (1, 1, 0, 1e-4)
    fusion.eval()(torch.ones(1, 32, 1, 1), torch.ones(1, 32, 1, 1))
    assert [round(w.item(), 4) for w in fusion.maps().values()] == [0.5, 0.5, 0.5]


def test_channel_attention_reduces_both_maps_by_16():
    assert FUSION_STRATEGIES["channel_attn"](256).weights[0].out_channels == 2 * 256 // 16


def test_gates_are_the_weight_of_the_global_map(A):
    for name in ("learnable_gate", "spatial_attn"):
        fusion = build(name).eval()
        out, gate = fusion(A, torch.zeros_like(A)), fusion.maps()["gate"]
        torch.testing.assert_close(out, conv1x1(gate * A, fusion.project))


def test_channel_weights_belong_to_their_maps(A, L):
    fusion = build("channel_attn").eval()
    out, maps = fusion(A, L), fusion.maps()
    torch.testing.assert_close(out, conv1x1(maps["weight_global"] * A + maps["weight_local"] * L, fusion.project))


def test_cross_attention_shows_what_a_position_of_A_pays_to_L(A, L):
    fusion = build("cross_attn").eval()
    fusion(A, L)
    maps = fusion.maps((1, 4))
    q = conv1x1(A, fusion.to_q)[:, :, 1, 4].unflatten(1, (4, 8))
    k = conv1x1(L, fusion.to_k).unflatten(1, (4, 8))
    heads = (torch.einsum("bhd,bhdyx->bhyx", q, k) / 8**0.5).flatten(2).softmax(2).unflatten(2, (4, 5))
    torch.testing.assert_close(maps["attention_heads"], heads)
    torch.testing.assert_close(maps["attention"], heads.mean(1))


def test_narrow_heads_of_cross_attention_lead_back_to_the_channels(A, L):
    fusion = randomised(FUSION_STRATEGIES["cross_attn"].build(32, 4, dim_head=2))
    assert fusion.to_q.out_channels == 8
    torch.testing.assert_close(fusion(A, L), cross_attn(fusion, A, L))


def test_cross_attention_heads_must_divide_the_channels():
    with pytest.raises(WorkbookValueError, match="num_heads=3 does not divide the width 32"):
        FUSION_STRATEGIES["cross_attn"](32, num_heads=3)


def test_a_strategy_without_a_forward_says_so(A, L):
    with pytest.raises(NotImplementedError, match="needs a forward"):
        BaseFusion(32)(A, L)
