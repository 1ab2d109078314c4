import pytest
import torch

from lib.glsa import RESIDUAL_STRATEGIES
from tests.helpers import float64, randomised


@pytest.fixture
def x():
    return float64(4, 32, 4, 5, seed=2)


@pytest.fixture
def R():
    return float64(4, 32, 4, 5, seed=3)


def sigmoid(t):
    return 1 / (1 + torch.exp(-t))


def test_original(x, R):
    torch.testing.assert_close(RESIDUAL_STRATEGIES["original"](32)(x, R), x + R)


def test_learnable_gate(x, R):
    residual = randomised(RESIDUAL_STRATEGIES["learnable_gate"](32)).eval()
    g = sigmoid(residual.logit)
    assert g.shape == (1, 32, 1, 1)
    torch.testing.assert_close(residual(x, R), g * x + (1 - g) * R)
    torch.testing.assert_close(residual.maps()["alpha"], 1 - g)


def test_progressive(x, R):
    residual = randomised(RESIDUAL_STRATEGIES["progressive"](32)).eval()
    alpha = sigmoid(residual.logit)
    torch.testing.assert_close(residual(x, R), (1 - alpha) * x + alpha * R)
    torch.testing.assert_close(residual.maps()["alpha"], alpha)


def test_progressive_starts_at_a_tenth(x, R):
    residual = RESIDUAL_STRATEGIES["progressive"](32).eval()
    torch.testing.assert_close(residual(x.float(), R.float()), 0.9 * x.float() + 0.1 * R.float())
    assert residual.maps()["alpha"].item() == pytest.approx(0.1)


def test_drop_path_drops_whole_samples_and_scales_the_kept():
    torch.manual_seed(0)
    residual = RESIDUAL_STRATEGIES["drop_path"](32)
    x, R = torch.zeros(5000, 2, 2, 2), torch.ones(5000, 2, 2, 2)
    branches = residual(x, R).flatten(1)
    assert (branches == branches[:, :1]).all()  # a sample is dropped whole
    torch.testing.assert_close(branches[:, 0].unique(), torch.tensor([0.0, 1 / 0.9]))
    dropped = (branches[:, 0] == 0).float().mean().item()
    assert dropped == pytest.approx(0.1, abs=0.02)  # ± 5 standard errors
    assert branches.mean().item() == pytest.approx(1, abs=0.02)


def test_drop_path_never_touches_the_input_and_is_a_sum_in_eval(x, R):
    torch.manual_seed(0)
    residual = RESIDUAL_STRATEGIES["drop_path"](32)
    torch.testing.assert_close(residual(x, torch.zeros_like(x)), x)
    torch.testing.assert_close(residual.eval()(x, R), x + R)
