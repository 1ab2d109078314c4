import pytest
import torch
from torch import nn
from torch.nn.functional import layer_norm

from lib.errors import WorkbookError, WorkbookValueError
from lib.glsa import GlobalAttention
from tests.glsa.reference import conv1x1, flat, folded, matmul_attention
from tests.helpers import float64, randomised


@pytest.fixture
def x():
    return float64(2, 32, 4, 5)


def projections(module, x):
    q, k, v = (flat(t) for t in conv1x1(x, module.to_qkv).chunk(3, dim=1))
    return q, k, v


def normed(module, t):
    return layer_norm(t, t.shape[2:], module.norm.weight, module.norm.bias)


def test_is_the_softmax_formula(x):
    module = randomised(GlobalAttention(32, num_heads=4))
    q, k, v = projections(module, x)
    out = matmul_attention(q, k, v, 4) @ module.to_out.weight.T
    torch.testing.assert_close(module(x), folded(normed(module, out + q), x))


def test_is_multi_head_attention_with_its_weights(x):
    module = randomised(GlobalAttention(32, num_heads=4))
    reference = nn.MultiheadAttention(32, 4, batch_first=True, dtype=torch.float64)  # its biases start at 0
    reference.in_proj_weight.data = module.to_qkv.weight.data.flatten(1)
    reference.out_proj.weight.data = module.to_out.weight.data
    out, _ = reference(flat(x), flat(x), flat(x))
    torch.testing.assert_close(module(x), folded(normed(module, out + projections(module, x)[0]), x))


def test_dim_head_sets_the_width_and_one_projection_leads_back(x):
    module = randomised(GlobalAttention(32, num_heads=3, dim_head=8))
    q, k, v = projections(module, x)
    assert q.shape[2] == 24
    out = normed(module, matmul_attention(q, k, v, 3) @ module.to_out.weight.T + q)
    torch.testing.assert_close(module(x), folded(out @ module.to_channels.weight.T, x))


def test_parameters_are_those_of_the_formula():
    assert {name: tuple(p.shape) for name, p in GlobalAttention(32, 4).named_parameters()} == {
        "to_qkv.weight": (96, 32, 1, 1),
        "to_out.weight": (32, 32),
        "norm.weight": (32,),
        "norm.bias": (32,),
    }


def test_permuting_the_positions_permutes_the_output(x):
    module = randomised(GlobalAttention(32, num_heads=4))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    permuted = x.flatten(2)[:, :, order].view_as(x)
    torch.testing.assert_close(module(permuted).flatten(2), module(x).flatten(2)[:, :, order])


def test_maps_are_rows_of_the_softmax(x):
    module = randomised(GlobalAttention(32, num_heads=4)).eval()
    module(x)
    q, k, _ = projections(module, x)
    heads = torch.stack([(a @ b.mT / 8**0.5).softmax(2) for a, b in zip(q.chunk(4, 2), k.chunk(4, 2), strict=True)], 1)
    torch.testing.assert_close(module.matrix(), heads)
    torch.testing.assert_close(module.maps((3, 1))["global_heads"], heads[:, :, 16].unflatten(2, (4, 5)))
    torch.testing.assert_close(module.maps((3, 1))["global"], heads[:, :, 16].mean(1).unflatten(1, (4, 5)))
    torch.testing.assert_close(module.maps()["global"], module.maps((2, 2))["global"])


def test_half_precision_rows_still_sum_to_one():
    module = GlobalAttention(32, num_heads=4).bfloat16().eval()
    module(torch.randn(1, 32, 14, 14, dtype=torch.bfloat16))
    sums = module.matrix().sum(-1)
    torch.testing.assert_close(sums, torch.ones(1, 4, 196))


@pytest.mark.parametrize("query", [(4, 0), (0, 5), (-1, 0)])
def test_a_query_outside_the_map_is_told_its_size(x, query):
    module = GlobalAttention(32, 4).double().eval()
    module(x)
    with pytest.raises(WorkbookValueError, match=rf"row {query[0]}, column {query[1]}\) is outside the 4×5 map"):
        module.maps(query)


def test_maps_before_a_forward():
    with pytest.raises(WorkbookError, match="call the model in eval mode first"):
        GlobalAttention(32, 4).maps()


def test_heads_must_divide_the_width():
    with pytest.raises(WorkbookValueError, match=r"num_heads=7 does not divide the width 64.*: 4 and 8"):
        GlobalAttention(64, num_heads=7)


@pytest.mark.parametrize("sizes", [{"channels": 0}, {"num_heads": -1}, {"num_heads": 2.0}, {"dim_head": 0}])
def test_sizes_are_positive_whole_numbers(sizes):
    with pytest.raises(WorkbookValueError, match=f"{next(iter(sizes))} must be a whole number of at least 1"):
        GlobalAttention(**{"channels": 32, "num_heads": 4} | sizes)
