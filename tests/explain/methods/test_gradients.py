import pytest
import torch
from torch import nn

from lib.explain import explain
from lib.explain.methods import gradients
from lib.explain.methods.explain import scaled
from tests.explain.models import images, model_of


def test_no_pass_holds_more_images_than_allowed():
    model, seen = model_of("vgg"), []
    handle = model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    one = explain(model, images(2), [0, 1], "integrated-gradients", batch_size=1)
    assert set(seen) == {1}
    torch.testing.assert_close(one, explain(model, images(2), [0, 1], "integrated-gradients"), atol=1e-5, rtol=0)
    assert max(seen) == 32
    handle.remove()


def test_integrated_gradients_sum_to_the_difference_of_the_answers(monkeypatch):
    model, x = model_of("glsa"), images(3)
    with torch.no_grad():
        difference = (model(x) - model(torch.zeros_like(x)))[torch.arange(3), [1, 2, 0]]
    errors = []
    for steps in (gradients.STEPS, 200):
        monkeypatch.setattr(gradients, "STEPS", steps)
        parts = gradients.integrated(model, x, torch.tensor([1, 2, 0]))
        assert parts.shape == x.shape
        errors.append((parts.sum((1, 2, 3)) - difference).abs().max() / difference.abs().max())
    assert errors[0] < 0.05
    assert errors[1] < errors[0] / 2  # what is missing is the error of the sum over steps


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
@pytest.mark.parametrize("folded", [False, True])
def test_the_map_of_an_image_alone_is_that_in_a_batch(norm, folded):
    """Tokens that are laid out as a map, and a map as tokens, have their channels last: PyTorch's norm reads one of them wrongly
    where it is of one image."""

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.norm, self.head = nn.Conv2d(3, 4, 8, 8), norm(4), nn.Linear(64, 4)

        def forward(self, x):
            x = self.stem(x)
            x = self.norm(x.flatten(2).mT.contiguous().mT.unflatten(2, (4, 4)) if folded else x)
            return self.head((x if folded else x.flatten(2).mT.contiguous()).flatten(1))

    torch.manual_seed(0)
    model, x = Tokens().eval(), images(2)
    alone, together = (explain(model, x, 1, "gradient-x-input", batch_size=size) for size in (1, 2))
    torch.testing.assert_close(alone, together)
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize("method", ["gradient-x-input", "integrated-gradients"])
def test_of_a_linear_model_both_are_weight_times_input(method):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4)).eval(), images(2, side=8)
    weights = model[1].weight.view(4, 3, 8, 8)
    expected = (weights[[2, 3]] * x).sum(1).clamp(min=0)
    torch.testing.assert_close(explain(model, x, [2, 3], method), scaled(expected, (8, 8)), rtol=1e-3, atol=1e-4)
