"""The mechanism, against the paper's equations."""

import pytest
import torch

from lib.errors import WorkbookValueError
from lib.gattanet import Agreement, MapAgreement, UnitAgreement
from tests.gattanet.transcription import LAYERS, reference, toy
from tests.helpers import float64


@pytest.mark.parametrize("passes", [1, 2, 3])
@pytest.mark.parametrize("norm", [None, "layer"])
def test_is_the_papers_equations(passes, norm):
    model = toy(passes=passes, norm=norm)
    images = float64(3, 3, 16, 16)
    logits, queries, gattas = reference(model, images, normalise=norm is not None)
    torch.testing.assert_close(model(images), logits)
    maps = model.maps()
    torch.testing.assert_close(maps["queries"], torch.stack(queries, 1))
    for p, gatta in enumerate(gattas[1:]):
        for name in LAYERS:
            torch.testing.assert_close(maps[f"agreement_{name}"][:, p], gatta[name])


def test_gradients_are_those_of_the_equations_through_all_passes():
    model = toy(passes=3)
    images = float64(2, 3, 16, 16).requires_grad_()
    wanted = [*model.parameters(), images]
    weight = float64(2, 5, seed=1)
    ours = torch.autograd.grad((model(images) * weight).sum(), wanted)
    slow = torch.autograd.grad((reference(model, images)[0] * weight).sum(), wanted)
    torch.testing.assert_close(ours, slow)
    assert all(grad.abs().max() > 0 for grad in ours)


def test_the_query_of_an_early_pass_reaches_the_loss_only_through_the_modulation():
    model = toy(layers=("conv1", "dense2"), passes=2)
    loss = model(float64(2, 3, 16, 16)).square().sum()
    for part in model.agreement:
        grad = torch.autograd.grad(loss, part.query, retain_graph=True)[0]
        assert grad.abs().max() > 0
    model.passes = 1  # nothing is modulated, so the projections have no part in the logits
    loss = model(float64(2, 3, 16, 16)).square().sum()
    assert torch.autograd.grad(loss, model.agreement[0].query, allow_unused=True) == (None,)


def test_dense_units_keep_their_own_keys_and_queries():
    part = UnitAgreement(7, 3).double()
    f, q_avg = float64(2, 7), float64(2, 3, seed=1)
    gatta, query = part.gatta(f, q_avg), part.mean_query(f)
    for c in range(7):
        changed = UnitAgreement(7, 3).double()
        changed.load_state_dict(part.state_dict())
        changed.key.data[c] += 1
        moved = (changed.gatta(f, q_avg) - gatta).abs().amax(0) > 1e-9
        assert moved.tolist() == [unit == c for unit in range(7)]
        changed.query.data[c] += 1
        torch.testing.assert_close(changed.mean_query(f) - query, f[:, c, None].expand(-1, 3) / 7)


def test_a_map_shares_its_projections_between_positions():
    part = MapAgreement(4, 3).double()
    f = float64(1, 4, 1, 1).expand(1, 4, 5, 6)
    q_avg = float64(1, 3)
    torch.testing.assert_close(part.gatta(f, q_avg), part.gatta(f[..., :1, :1], q_avg).expand(1, 5, 6))
    torch.testing.assert_close(part.mean_query(f), f[..., 0, 0] @ part.query)


def test_layer_norm_is_per_image():
    part = MapAgreement(4, 3, norm="layer").double()
    f, q_avg = float64(3, 4, 5, 6), float64(3, 3, seed=1)
    gatta = part(f, q_avg)[2]
    torch.testing.assert_close(gatta.mean((1, 2)), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(gatta, part(f, 10 * q_avg)[2], rtol=1e-3, atol=1e-4)


def test_without_a_global_query_f_goes_through():
    f = float64(2, 4, 3, 3)
    part = MapAgreement(4, 2).double()
    part.alpha.data.fill_(9)
    out, _, gatta = part(f, None)
    assert out is f
    assert gatta is None


def test_alpha_starts_at_zero():
    assert Agreement(4, 2).alpha == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"channels": 0}, "channels must be a whole number of at least 1"),
        ({"dim": 2.5}, "dim must be a whole number of at least 1, not 2.5"),
        ({"norm": "batch"}, "Unknown norm 'batch'"),
    ],
)
def test_mistakes_are_told(wrong, message):
    with pytest.raises(WorkbookValueError, match=message):
        MapAgreement(**{"channels": 4, "dim": 2} | wrong)
