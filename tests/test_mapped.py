"""Maps are typed values; a new network with maps is entered nowhere but in itself."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from lib.errors import WorkbookValueError
from lib.explain import explain, explorer_of, methods_of
from lib.explain.methods.explain import scaled
from lib.explain.views.explorer_maps import network_layers
from lib.mapped import CLASS_TOKEN, EVERY, Every, Kind, Map, MapInfo, Mapped, query_positions, shown_by
from tests.explain.models import images, model_of
from tests.helpers import unpacked


class Gate(Mapped):
    shows = {"gate": MapInfo(Kind.GATE, along="channels", method="toy-gate")}

    def __init__(self):
        super().__init__()
        self.to_gate = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        gate = self.to_gate(x).sigmoid()
        self.keep(gate=gate)
        return gate * x


class Attention(Mapped):
    shows = {"content": MapInfo(Kind.ATTENTION, along="heads", method="toy-attention")}

    def forward(self, x):
        self.keep(x=x)
        return x

    def matrix(self):
        tokens = self.kept["x"].flatten(2)
        return torch.stack([(tokens.mT @ tokens * scale).softmax(-1) for scale in (1, 2)], 1)  # [B, 2, N, N]

    def shown(self, query=None):
        height, width = self.kept["x"].shape[2:]
        rows = self.matrix()[:, :, query_positions(query, height, width)]
        yield self.attended("content", rows, query, height, width)


class Toy(nn.Module):
    """Knows nothing of maps itself, and nobody knows it."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 8, stride=8)
        self.body = nn.Sequential(Attention(), Gate())
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))


@pytest.fixture
def toy():
    torch.manual_seed(0)
    return Toy().eval()


def test_a_new_networks_maps_are_methods(toy):
    x = images(2)
    methods = methods_of(toy)
    assert {"toy-attention", "toy-gate"} < set(methods)
    assert list(methods)[-3:] == ["random", "noise", "centre"]
    assert not methods["toy-gate"].by_class
    gate = explain(toy, x, method="toy-gate")
    torch.testing.assert_close(gate, scaled(toy.body[1].maps()["gate"].mean(1), (32, 32)))
    received = toy.body[0].matrix().mean((1, 2)).unflatten(1, (4, 4))
    torch.testing.assert_close(explain(toy, x, method="Toy_Attention"), scaled(received, (32, 32)))
    with pytest.raises(WorkbookValueError, match="has no 'toy-gate'"):
        explain(model_of("vgg"), x, method="toy-gate")


def test_a_new_network_has_an_explorer(toy):
    view = explorer_of({"toy": toy}, np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    kinds = unpacked(view)[0]["models"][0]["kinds"]
    assert [kind["name"] for kind in kinds] == ["content attention", "gate"]
    (attention,), (gate,) = (kind["layers"] for kind in kinds)
    assert attention["heads"] == ["mean of all", "1", "2"]
    assert attention["queries"] == {"rows": [0, 1, 2, 3], "columns": [0, 1, 2, 3], "of": [4, 4]}
    assert (gate["name"], gate["queries"]) == ("body.1", None)
    layer = next(network_layers("toy", toy, images(2)))
    np.testing.assert_allclose(layer.read(EVERY, 2).reshape(2, 2, 16, 16), toy.body[0].matrix().numpy(), atol=1e-6)


def test_maps_say_what_they_are(toy):
    toy(images(2))
    attention, gate = shown_by(toy, (0, 1))
    assert attention.info == MapInfo(
        Kind.ATTENTION, "heads", "toy-attention", layer="body.0", name="content", query=(0, 1), queries=(4, 4)
    )
    assert (gate.info.kind, gate.info.layer, gate.info.query) == ("gate", "body.1", None)
    mean = toy.body[0].maps((0, 1))["content"]
    assert mean.info.along is None
    torch.testing.assert_close(mean, attention.mean(1))


def test_the_networks_of_the_workbook_say_it_too():
    kinds = {}
    for name in ("glsa", "gattanet", "lesa", "dcal"):
        model = model_of(name)
        with torch.no_grad():
            model(images(2))
        kinds[name] = {key: (m.info.kind, m.info.layer, m.info.query) for key, m in model.maps().items()}
        assert all(isinstance(m, Map) and not m.requires_grad for m in model.maps().values())
    assert kinds["glsa"]["global"] == (Kind.ATTENTION, "", (4, 4))
    assert kinds["glsa"]["fusion_gate"] == (Kind.GATE, "", None)
    assert kinds["glsa"]["local_channel"][0] is Kind.WEIGHT
    assert kinds["gattanet"]["agreement_net.conv3"] == (Kind.AGREEMENT, "net.conv3", None)
    assert kinds["gattanet"]["agreement_net.dense1"][0] is Kind.WEIGHT
    assert kinds["lesa"]["ungated"][0] is Kind.NORM
    assert kinds["dcal"]["rollout"] == (Kind.ROLLOUT, "layer 2", CLASS_TOKEN)
    assert kinds["dcal"]["glca_selected"][0] is Kind.SELECTION


def test_a_map_is_a_tensor_and_what_is_computed_from_it_a_plain_one(toy):
    with torch.inference_mode():
        toy(images(2))
        gate = toy.body[1].maps()["gate"]
        assert type(gate.mean(1)) is type(gate[0]) is type(gate.double()) is type(gate.plane()) is torch.Tensor
    for twin in (copy.deepcopy(gate), pickle.loads(pickle.dumps(gate))):
        assert twin.info == gate.info
        torch.testing.assert_close(twin, gate)
    assert np.array_equal(gate.numpy(), gate.cpu().numpy())


def test_a_map_that_is_not_declared_is_what_its_shape_says():
    class Undeclared(Mapped):
        def forward(self, x):
            self.keep(something=x, weight=x.mean((2, 3), keepdim=True))
            return x

    module = Undeclared().eval()
    module(images(1))
    maps = module.maps()
    assert (maps["something"].info.kind, maps["weight"].info.kind) == (Kind.OTHER, Kind.WEIGHT)


def test_every_few_queries_are_the_middle_ones():
    assert [*Every().of(3)] == [0, 1, 2]
    assert [*Every(3).of(7)] == [1, 4]
    assert [*Every(9).of(2)] == [1]
