import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lib.errors import WorkbookError, WorkbookValueError
from lib.lesa import LESA, ContextTerm, lesa_layers, without
from lib.lesa.pair_attention import CHUNK
from tests.helpers import float64, randomised
from tests.lesa import transcription


@pytest.fixture
def layer():
    return randomised(LESA(32, (4, 5), 4)).eval()


@pytest.fixture
def x():
    return float64(2, 32, 4, 5)


def test_a_gate_of_zero_is_the_convolution_path(layer, x):
    layer.gate[5].weight.data.zero_()
    layer.gate[5].bias.data.fill_(-1000)
    torch.testing.assert_close(layer(x), layer.local(x))
    with without(layer, "context"):
        torch.testing.assert_close(layer(x), layer.local(x))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_layouts_stay_and_an_image_alone_has_the_gradient_that_it_has_in_a_batch(layout):
    """PyTorch's BatchNorm, here the one before the layer, reads the gradient of one image wrongly in another layout."""
    layer = randomised(LESA(32, (4, 5), 4, "detection_qr"))
    network = nn.Sequential(nn.BatchNorm2d(32), layer).double().eval().to(memory_format=layout)
    x = float64(2, 32, 4, 5).contiguous(memory_format=layout).requires_grad_()
    out = network(x)
    assert out.is_contiguous(memory_format=layout)
    (together,) = torch.autograd.grad(out.tanh().sum(), x)
    one = x[:1].detach().requires_grad_()
    (alone,) = torch.autograd.grad(network(one).tanh().sum(), one)
    torch.testing.assert_close(alone, together[:1])


def test_a_term_is_switched_off_and_on_again(layer, x):
    whole = layer(x)
    maps = layer.maps()
    with without(layer, "local"):
        torch.testing.assert_close(layer(x), maps["gate"] * layer.context(x))
        with without(layer, "context"):
            torch.testing.assert_close(layer(x), layer.local(x))
        torch.testing.assert_close(layer(x), whole - layer.local(x))
    with pytest.raises(RuntimeError), without(layer, "context"):
        raise RuntimeError
    assert torch.equal(layer(x), whole)


def test_mistakes_in_switching_off(layer):
    with (
        pytest.raises(WorkbookValueError, match="Unknown term 'contxt'. Did you mean 'context'?"),
        without(layer, "contxt"),
    ):
        pass
    with pytest.raises(WorkbookError, match=r"call model.eval\(\) first"), without(layer.train(), "local"):
        pass
    with pytest.raises(WorkbookError, match="Linear has no LESA layer"), without(torch.nn.Linear(2, 2), "local"):
        pass


def test_a_stride_averages_at_the_end_odd_sizes_too():
    layer = randomised(LESA(32, (5, 4), 4, stride=2)).eval()
    x = float64(1, 32, 5, 4)
    out = layer(x)
    layer.stride = 1
    whole = layer(x)
    assert out.shape == (1, 32, 3, 2)
    torch.testing.assert_close(out[:, :, 1, 1], whole[:, :, 2:4, 2:4].mean((2, 3)))
    torch.testing.assert_close(out[:, :, 2, 0], whole[:, :, 4, :2].mean(2))


def test_maps_are_what_the_layer_computed(layer, x):
    out, maps = layer(x), layer.maps((3, 1))
    u, b = layer.local(x), transcription.context(layer.context, x)
    assert set(maps) == {"gate", "local", "context_term", "ungated", "context", "context_heads"}
    torch.testing.assert_close(maps["gate"], (out - u) / b, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(maps["local"], u.square().sum(1, keepdim=True).sqrt())
    torch.testing.assert_close(maps["context_term"], (out - u).square().sum(1, keepdim=True).sqrt())
    torch.testing.assert_close(maps["ungated"], b.square().sum(1, keepdim=True).sqrt())
    torch.testing.assert_close(maps["context_heads"].sum((2, 3)), torch.ones(2, 4, dtype=torch.float64))
    torch.testing.assert_close(maps["context"], maps["context_heads"].mean(1))


def test_the_attention_shown_is_the_one_that_was_used(layer, x):
    """Values that tell each position's number, straight through: the output then is the attention itself."""
    term = layer.context
    term.position.table.data[8:].zero_()  # no r^v
    term(x)
    rows = torch.stack(
        [term.maps((i // 5, i % 5))["context_heads"].flatten(2) for i in range(20)], dim=2
    )  # [B, g, N, N]
    v = term.norm_qkv(term.to_qkv(x)).reshape(2, 4, 16, 20)[:, :, 8:]
    sums = torch.einsum("bgij,bgcj->bgci", rows, v).reshape(2, 32, 4, 5)
    stacked = torch.stack([sums, torch.zeros_like(sums)], dim=2).flatten(1, 2)
    torch.testing.assert_close(term.norm_out(stacked).unflatten(1, (32, 2)).sum(2), term(x))


def test_maps_of_a_position_outside(layer, x):
    layer(x)
    with pytest.raises(WorkbookValueError, match=r"row 4, column 0\) is outside the 4×5 map"):
        layer.maps((4, 0))


def test_no_maps_before_a_forward_and_none_after_training(layer, x):
    with pytest.raises(WorkbookError, match="call the model in eval mode first"):
        layer.maps()
    layer(x)
    layer.train()(x)
    with pytest.raises(WorkbookError, match="call the model in eval mode first"):
        layer.maps()


def test_copies_pickles_and_state_dicts_hold_no_maps(layer, x):
    out, names = layer(x), set(layer.state_dict())
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), out)
        assert set(other.state_dict()) == names


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"groups": 5}, "groups=5 does not fit 64 channels: .* Nearest that fit: 4 and 8."),
        ({"groups": 64}, "groups=64 does not fit 64 channels: .* Nearest that fit: 32."),
        ({"channels": 63}, "groups=8 does not fit 63 channels: .* Give an even number of channels."),
        ({"position": "axal"}, "Unknown position 'axal'. Did you mean 'axial'?"),
        ({"groups": 0}, "groups must be a whole number of at least 1, not 0"),
        ({"size": "4"}, "The map's height must be a whole number of at least 1, not '4'"),
        ({"stride": 0}, "stride must be a whole number of at least 1, not 0"),
    ],
)
def test_mistakes_are_told_with_their_remedy(wrong, message):
    with pytest.raises(WorkbookValueError, match=message):
        LESA(**{"channels": 64, "size": (4, 4)} | wrong)


def test_channels_are_those_it_was_built_for(layer):
    with pytest.raises(WorkbookValueError, match="takes 32 channels, not 16"):
        layer(float64(1, 16, 4, 5))
    assert list(lesa_layers(layer)) == [""]


def test_attention_is_made_a_few_maps_at_a_time(x, monkeypatch):
    """Of many positions all heads' maps would be gigabytes, of which one row each is wanted."""

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            self.numbers = max(self.numbers, result.numel() if isinstance(result, torch.Tensor) else 0)
            return result

    term = ContextTerm(8, (8, 8), 4).eval()
    term(torch.randn(4, 8, 8, 8))
    whole = term.maps()["context_heads"]
    monkeypatch.setitem(CHUNK, "cpu", 1)
    with Largest() as largest:
        torch.testing.assert_close(term.maps()["context_heads"], whole)
    assert largest.numbers < 4 * 64**2  # of 16 maps
