"""What the official code answers, for weights and inputs that anyone can regenerate."""

import pytest
import torch
from safetensors.torch import load_file

from lib.lesa import LESA, lesa_net, load_weights
from tests.helpers import relative_error
from tests.lesa.official import GOLDEN, filler, official_state

golden = load_file(GOLDEN / "lesa_golden.safetensors")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("position", ["classification", "detection_qr"])
def test_a_layer_answers_as_the_official_one(position, stride):
    name = f"block.{position}.stride{stride}"
    layer = LESA(64, (8, 8), 8, position, stride).eval()
    load_weights(layer, official_state(name))
    x = filler().image((2, 64, 8, 8), 8).requires_grad_()
    out = layer(x)
    (gradient,) = torch.autograd.grad(out.square().sum(), x)
    assert relative_error(out, golden[f"{name}.eval"]) < 1e-5
    assert relative_error(gradient, golden[f"{name}.eval.grad_input"]) < 1e-5
    assert relative_error(layer.train()(x), golden[f"{name}.train"]) < 1e-5


@pytest.mark.parametrize(("name", "parameters"), [("lesa_resnet50", 23_777_512), ("lesa_wrn50", 61_145_896)])
def test_a_network_answers_as_the_official_one(name, parameters):
    model = lesa_net(name).eval()
    load_weights(model.net, official_state(name))
    counts = model.count_parameters()
    assert counts["total"] == parameters == sum(p.numel() for p in model.parameters())
    assert 2 * counts["total"] == sum(counts.values())
    with torch.no_grad():
        logits = model(filler().image((2, 3, 224, 224), 9))
    assert relative_error(logits, golden[f"{name}.logits"]) < 1e-4
