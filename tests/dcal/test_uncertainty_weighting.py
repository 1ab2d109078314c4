import pytest
import torch

from lib.dcal import UncertaintyWeighting
from lib.errors import WorkbookValueError


def test_is_the_formula_and_learns():
    weighting = UncertaintyWeighting("sa", "glca", "pwca").double()
    weighting.w.data = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64)
    losses = {"sa": torch.tensor(2.0), "glca": torch.tensor(3.0), "pwca": torch.tensor(0.5)}
    total = weighting(**losses)
    expected = sum(torch.exp(-w) * x + w for w, x in zip(weighting.w, losses.values(), strict=True)) / 2
    torch.testing.assert_close(total, expected)
    total.backward()
    slopes = [(1 - torch.exp(-w) * x) / 2 for w, x in zip(weighting.w.data, losses.values(), strict=True)]
    torch.testing.assert_close(weighting.w.grad, torch.stack(slopes))


def test_starts_at_half_the_sum():
    assert UncertaintyWeighting("a", "b")(a=torch.tensor(1.0), b=torch.tensor(4.0)).item() == 2.5


def test_one_loss_alone_stays_as_it_is():
    weighting = UncertaintyWeighting("sa")
    assert weighting(sa=torch.tensor(3.0)).item() == 3
    assert list(weighting.parameters()) == []


def test_bad_input():
    weighting = UncertaintyWeighting("sa", "glca")
    with pytest.raises(WorkbookValueError, match="Unknown loss 'glac'. Did you mean 'glca'"):
        weighting(sa=torch.tensor(1.0), glac=torch.tensor(1.0))
    with pytest.raises(WorkbookValueError, match="no loss to weigh"):
        weighting()
