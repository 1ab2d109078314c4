import itertools

import pytest
import torch

from lib.glsa.pointwise import Pointwise, laid
from tests.glsa.reference import conv1x1
from tests.helpers import float64


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_is_the_convolution_and_so_are_its_gradients(layout, bias):
    torch.manual_seed(0)
    conv = Pointwise(6, 8, bias).double()
    x = float64(2, 6, 3, 5).contiguous(memory_format=layout).requires_grad_()
    out, weight = conv(x), float64(2, 8, 3, 5, seed=1)
    assert out.is_contiguous(memory_format=torch.channels_last)
    expected = conv1x1(x, conv)
    torch.testing.assert_close(out, expected)
    variables = [x, *conv.parameters()]
    torch.testing.assert_close(*(torch.autograd.grad((y * weight).sum(), variables) for y in (out, expected)))


@pytest.mark.parametrize(("before", "after"), itertools.permutations([torch.contiguous_format, torch.channels_last]))
def test_a_gradient_comes_back_in_the_layout_of_before(before, after):
    x = float64(2, 6, 3, 5).contiguous(memory_format=before).requires_grad_()
    out = laid(x, after)
    assert out.is_contiguous(memory_format=after)
    (grad,) = torch.autograd.grad(out.square().sum(), x)
    assert grad.is_contiguous(memory_format=before)
    torch.testing.assert_close(grad, 2 * x)
