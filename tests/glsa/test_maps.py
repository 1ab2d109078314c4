import copy
import itertools
import pickle

import pytest
import torch

from lib.errors import WorkbookError, WorkbookValueError
from lib.glsa import FUSION_STRATEGIES, LOCAL_ATTENTION, RESIDUAL_STRATEGIES, GLSABlock
from lib.mapped import Mapped

LOCAL = {"local_channel": (2, 32, 1, 1), "local_spatial": (2, 1, 4, 5)}
SHAPES = {
    ("CBAM", "original", "original"): LOCAL,
    ("BAM", "learnable_gate", "learnable_gate"): LOCAL
    | {"fusion_gate": (2, 32, 4, 5), "residual_alpha": (1, 32, 1, 1)},
    ("scSE", "weighted_add", "progressive"): LOCAL
    | {"fusion_weight_global": (), "fusion_weight_local": (), "fusion_weight_product": (), "residual_alpha": ()},
    ("none", "channel_attn", "drop_path"): {
        "fusion_weight_global": (2, 32, 1, 1),
        "fusion_weight_local": (2, 32, 1, 1),
    },
    ("none", "spatial_attn", "original"): {"fusion_gate": (2, 1, 4, 5)},
    ("none", "cross_attn", "original"): {"fusion_attention": (2, 4, 5), "fusion_attention_heads": (2, 4, 4, 5)},
}


@pytest.fixture
def x():
    return torch.randn(2, 32, 4, 5, generator=torch.Generator().manual_seed(0))


def block(local="CBAM", fusion="cross_attn", residual="progressive"):
    torch.manual_seed(0)
    return GLSABlock(32, 4, local, fusion, residual)


def kept(module):
    return [t for part in module.modules() if isinstance(part, Mapped) for t in part._kept.values()]


@pytest.mark.parametrize("names", SHAPES, ids="-".join)
def test_names_and_shapes(names, x):
    module = block(*names).eval()
    module(x)
    maps = module.maps()
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "global": (2, 4, 5),
        "global_heads": (2, 4, 4, 5),
        **SHAPES[names],
    }
    assert not any(m.requires_grad for m in maps.values())


def test_rows_sum_to_one_and_are_the_matrix(x):
    module = block().eval()
    module(x)
    matrix = module.attention.matrix()
    assert matrix.shape == (2, 4, 20, 20)
    torch.testing.assert_close(matrix.sum(-1), torch.ones(2, 4, 20))
    for n, query in enumerate(itertools.product(range(4), range(5))):
        maps = module.maps(query)
        torch.testing.assert_close(maps["global_heads"].flatten(2), matrix[:, :, n])
        torch.testing.assert_close(maps["global"].flatten(1), matrix[:, :, n].mean(1))
        torch.testing.assert_close(maps["fusion_attention"].flatten(1).sum(1), torch.ones(2))


def test_every_combination_shows_maps_but_keeps_no_matrix(x):
    for names in itertools.product(LOCAL_ATTENTION, FUSION_STRATEGIES, RESIDUAL_STRATEGIES):
        module = block(*names).eval()
        module(x)
        assert "global" in module.maps()
        assert not any(t.shape[-2:] == (20, 20) for t in kept(module))
        assert all(t.numel() <= x.numel() for t in kept(module))


def test_training_keeps_nothing_and_forgets(x):
    module = block().eval()
    module(x)
    assert kept(module)
    module.train()(x)
    assert kept(module) == []
    with pytest.raises(WorkbookError, match="call the model in eval mode first"):
        module.eval().maps()


def test_maps_are_those_of_the_last_forward(x):
    module = block().eval()
    module(x)
    before = module.maps()["global"]
    module(x[:1] * 2)
    assert module.maps()["global"].shape[0] == 1
    assert not torch.equal(module.maps()["global"], before[:1])


def test_maps_before_an_eval_forward():
    for read in (block().maps, block().attention.matrix):
        with pytest.raises(WorkbookError, match="call the model in eval mode first"):
            read()


def test_a_query_outside_the_map(x):
    module = block().eval()
    module(x)
    with pytest.raises(WorkbookValueError, match="outside the 4×5 map: rows go from 0 to 3, columns from 0 to 4"):
        module.maps((4, 0))


def test_state_dict_has_no_maps(x):
    module = block().eval()
    before = list(module.state_dict())
    module(x)
    assert list(module.state_dict()) == before
    assert not any("kept" in name for name in before)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_compute_the_same_and_leave_the_maps_behind(copied, x):
    module = block().eval()
    out = module(x)
    twin = copied(module)
    assert kept(twin) == []
    assert kept(module)
    torch.testing.assert_close(twin(x), out)
    torch.testing.assert_close(twin.maps()["global"], module.maps()["global"])


def test_exported_blocks_compute_the_same(x, recwarn):
    module = block().eval()
    exported = torch.export.export(module, (x,))
    torch.testing.assert_close(exported.module()(x), module(x))
    assert not any("_kept" in str(warning.message) for warning in recwarn)


def test_compiled_blocks_compute_the_same_and_show_maps(x):
    module = block().eval()
    out = copy.deepcopy(module)(x)
    torch.testing.assert_close(torch.compile(module, backend="eager", fullgraph=True)(x), out)
    assert module.maps()["global"].shape == (2, 4, 5)
