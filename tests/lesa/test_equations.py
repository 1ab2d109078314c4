"""LESA against its equations, written out in `transcription`."""

import copy

import pytest
import torch

from lib.lesa import LESA, POSITIONS, ContextTerm, pair_attention
from tests.helpers import float64, randomised
from tests.lesa import transcription
from tests.peak_memory import PeakMemory


@pytest.fixture(params=[(3, 5), (4, 1), (1, 4), (1, 1), (4, 4)], ids=str)
def size(request):
    return request.param


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("position", POSITIONS)
def test_the_folded_path_is_the_plain_one(position, size, training):
    layer = randomised(LESA(32, size, 4, position)).train(training)
    plain = copy.deepcopy(layer)
    x, y = (float64(3, 32, *size).requires_grad_() for _ in range(2))
    weight = float64(3, 32, *size, seed=5)
    out, expected = layer(x), transcription.lesa(plain, y)
    torch.testing.assert_close(out, expected)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-8, rtol=1e-6)
    for (name, own), other in zip(layer.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=1e-8, rtol=1e-6, msg=lambda m, name=name: f"{name}: {m}")
    torch.testing.assert_close(layer.state_dict(), plain.state_dict())


@pytest.mark.parametrize("position", POSITIONS)
def test_chunks_change_nothing(monkeypatch, position):
    layer = randomised(ContextTerm(32, (4, 5), 4, position))
    x = float64(3, 32, 4, 5)
    whole = layer(x)
    monkeypatch.setitem(pair_attention.CHUNK, "cpu", 5 * 20**2)  # 5 of 12 maps at a time
    torch.testing.assert_close(layer(x), whole)


@pytest.mark.parametrize("position", POSITIONS)
def test_gradients_are_those_of_finite_differences(position):
    layer = randomised(ContextTerm(8, (2, 3), 2, position)).eval()
    assert torch.autograd.gradcheck(layer, float64(1, 8, 2, 3).requires_grad_())


def test_gradients_reach_every_parameter_and_the_logits_bias_has_none():
    layer = LESA(32, (4, 4), 4)
    layer(torch.randn(3, 32, 4, 4)).square().sum().backward()
    silent = [name for name, p in layer.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == ["context.norm_logits.bias"]
    assert layer.context.norm_logits.bias.grad is not None  # 0, not None: DDP waits for it


def test_statistics_are_exact_in_single_precision():
    term = ContextTerm(64, (8, 8), 8).train()
    reference = copy.deepcopy(term).double()
    x = torch.randn(4, 64, 8, 8) * 3 + 2
    term(x), transcription.context(reference, x.double())
    for name in ("running_mean", "running_var"):
        found, expected = getattr(term.norm_logits, name), getattr(reference.norm_logits, name)
        torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-5)


def test_autocast_leaves_logits_and_statistics_in_single_precision():
    torch.manual_seed(0)
    layer = LESA(32, (4, 4), 4).train()
    x = torch.randn(4, 32, 4, 4)
    full = copy.deepcopy(layer)(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = layer(x)
    assert ((half - full).norm() / full.norm()).item() < 0.02
    assert layer.context.norm_logits.running_var.dtype == torch.float32


def test_the_gradient_is_in_single_precision_within_autocast_too():
    torch.manual_seed(0)
    layer, x = LESA(32, (4, 4), 4).train(), torch.randn(4, 32, 4, 4)
    table, found = layer.context.position.table, []
    for within in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = layer(x).square().mean()
            with torch.autocast("cpu", enabled=within):
                found += torch.autograd.grad(loss, table)
    torch.testing.assert_close(*found, atol=1e-5, rtol=0.1)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_in_half_precision_are_computed_with_in_single(position, dtype):
    """Against the same numbers held in float32, at another size of the map."""
    torch.manual_seed(0)
    layer = LESA(32, (4, 4), 4, position).to(dtype)
    full, x = copy.deepcopy(layer).float(), torch.randn(4, 32, 5, 3).to(dtype)
    for training in (True, False):
        half, expected = layer.train(training)(x), full.train(training)(x.float())
        assert half.dtype == dtype
        assert ((half - expected).norm() / expected.norm()).item() < 0.02
    assert layer.context.norm_logits.running_var.dtype == dtype
    torch.testing.assert_close(layer.maps((4, 2))["context_heads"].sum((2, 3)), torch.ones(4, 4))
    of_half, expected = (
        torch.autograd.grad(net.train()(batch).square().mean(), net.context.to_qkv.weight)[0]
        for net, batch in ((layer, x), (full, x.float()))
    )
    assert of_half.dtype == dtype
    assert ((of_half - expected).norm() / expected.norm()).item() < 0.1


def test_training_takes_less_memory_than_the_plain_path():
    torch.manual_seed(0)
    term = ContextTerm(128, (14, 14)).train()
    x = torch.randn(4, 128, 14, 14, requires_grad=True)
    peaks = []
    for path in (lambda: term(x), lambda: transcription.context(term, x)):
        with PeakMemory() as memory:
            path().sum().backward()
        peaks.append(memory.peak)
    assert peaks[0] < 0.5 * peaks[1]
