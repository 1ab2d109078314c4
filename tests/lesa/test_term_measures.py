"""What is told of the gate and the terms, against the maps themselves."""

import math

import pytest
import torch

from lib.errors import WorkbookError, WorkbookValueError
from lib.lesa import context_share, gate_variance, term_statistics
from lib.models import create_model
from tests.helpers import randomised


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return randomised(create_model("resnet26_small", num_classes=3, attn_type="lesa", image_size=(32, 48))).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(5, 3, 32, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_the_statistics_are_those_of_the_maps(model, images):
    found = term_statistics(model, images.split(2))
    assert list(found) == list(model.blocks)
    with torch.no_grad():
        model(images)
    for block, each in found.items():
        maps = {name: m.float() for name, m in model.maps(block=block).items()}
        torch.testing.assert_close(each["gate"], maps["gate"].mean((2, 3)))
        torch.testing.assert_close(each["within"], maps["gate"].var((2, 3), correction=0))
        for name in ("local", "context_term", "ungated"):
            torch.testing.assert_close(each[name], maps[name].mean((1, 2, 3)))


def test_the_variance_of_the_gate_is_taken_apart_without_rest():
    gate = torch.rand(7, 5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gate = gate + torch.arange(5)[:, None, None] + 2 * torch.arange(7)[:, None, None, None]
    shares = gate_variance(gate.mean((2, 3)), gate.var((2, 3), correction=0))
    total = gate.var(correction=0)
    assert shares["channels"] == pytest.approx((gate.mean((0, 2, 3)).var(correction=0) / total).item())
    assert shares["positions"] == pytest.approx((gate.var((2, 3), correction=0).mean() / total).item())
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(("what", "dim"), [("images", 0), ("channels", 1), ("positions", 2)])
def test_each_share_is_of_what_varies(what, dim):
    size = [1, 1, 1, 1]
    size[dim] = 6
    gate = torch.rand(size, generator=torch.Generator().manual_seed(2)).expand(6, 6, 6, 6)
    shares = gate_variance(gate.mean((2, 3)), gate.var((2, 3), correction=0))
    assert shares == pytest.approx({"channels": 0, "images": 0, "positions": 0, what: 1}, abs=1e-6)


def test_a_gate_that_never_varies_has_no_shares():
    half = torch.full((2, 3), 0.5)
    assert all(map(math.isnan, gate_variance(half, 0 * half).values()))


def test_mistakes_are_told(model, images):
    with pytest.raises(WorkbookValueError, match="no images to look at"):
        term_statistics(model, [])
    plain = create_model("resnet26_small", num_classes=3, attn_type="self_attention")
    with pytest.raises(WorkbookError, match="build attention='lesa'"):
        term_statistics(plain.eval(), [images])
    with pytest.raises(WorkbookError, match=r"call model.eval\(\)"):
        term_statistics(create_model("resnet26_small", num_classes=3, attn_type="lesa"), [images])


def test_the_contexts_share_is_a_mean_over_images_and_networks():
    local, context = torch.full((4,), 3.0), torch.tensor([1.0, 1.0, 3.0, 3.0])
    terms = [{"layer4.0": {"local": local, "context_term": of}} for of in (context, torch.zeros(4))]
    assert context_share(terms) == {"layer4.0": pytest.approx((0.25 + 0.5) / 2 / 2)}
