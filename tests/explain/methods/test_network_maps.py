"""What networks show of themselves, against their own maps."""

import pytest
import torch

from lib import create_model
from lib.errors import WorkbookValueError
from lib.explain import explain
from lib.explain.methods.explain import scaled
from lib.glsa import FUSION_STRATEGIES, BaseFusion
from tests.explain.models import images, model_of


def shown(kind):
    model, x = model_of(kind), images(2)
    with torch.no_grad():
        model(x)
    return model, x


def test_glsa():
    model, x = shown("glsa")
    maps, matrix = model.maps(), model.block.attention.matrix()
    received = torch.stack([matrix[:, :, i] for i in range(matrix.shape[2])]).mean((0, 2))  # over queries, heads
    expected = {
        "glsa-global": received.view(2, 8, 8),
        "glsa-local": maps["local_spatial"].squeeze(1),
        "glsa-fusion": maps["fusion_gate"].mean(1),
    }
    for method, each in expected.items():
        torch.testing.assert_close(explain(model, x, method=method), scaled(each, (32, 32)), atol=1e-4, rtol=1e-4)


def test_a_fusion_of_ones_own_that_keeps_no_gate(monkeypatch):
    class Mean(BaseFusion):
        def forward(self, A, L, x_in=None):
            return (A + L) / 2

    monkeypatch.setitem(FUSION_STRATEGIES, "mean", Mean)
    model = create_model("toynet", num_classes=3, fusion_strategy="mean").eval()
    with pytest.raises(WorkbookValueError, match="Mean has no map 'gate' to show as glsa-fusion"):
        explain(model, images(1), method="glsa-fusion")


@pytest.mark.parametrize(
    ("kind", "method", "of"),
    [
        ("lesa", "lesa-omega", lambda maps: maps["gate"].mean(1)),
        ("gattanet", "gatta-agreement", lambda maps: maps["agreement_net.conv3"][:, -1]),
        ("dcal", "glca-selection", lambda maps: maps["glca_selected"]),
    ],
)
def test_the_others(kind, method, of):
    model, x = shown(kind)
    expected = scaled(of(model.maps()), (32, 32))
    assert expected.std() > 0
    torch.testing.assert_close(explain(model, x, method=method), expected, atol=1e-4, rtol=1e-4)
