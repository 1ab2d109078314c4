"""1×1 convolutions as the products of matrices that they are, and the layout in memory that makes them so."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.functional import linear


class Pointwise(nn.Conv2d):
    """A 1×1 convolution that answers with channels last in memory, as attention reads them that keeps no [N, N] map.

    Parameters are `nn.Conv2d`'s. On a CPU one product over all positions of all images runs near the machine's peak, forward
    and for both gradients; oneDNN's convolution does not, for the weights' gradient in this layout and for any in the other.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, O, H, W]"""
        return pointwise(x, self.weight, self.bias)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The 1×1 convolution of x [B, C, H, W] by weight [O, C, 1, 1] and bias [O]: [B, O, H, W], channels last in memory."""
    return rearrange(linear(rearrange(x, "b c y x -> b y x c"), weight.flatten(1), bias), "b y x o -> b o y x")


def laid(x: Tensor, layout: torch.memory_format) -> Tensor:
    """The same [B, C, H, W] in another layout, whose gradient comes back in that of x."""
    return x if x.is_contiguous(memory_format=layout) else Laid.apply(x, layout)


def channels_last(x: Tensor) -> Tensor:
    """The same [B, C, H, W], a position's channels together in memory."""
    return laid(x, torch.channels_last)


def layout_of(x: Tensor) -> torch.memory_format:
    """Whether x [B, C, H, W] has its channels last."""
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last


class Laid(torch.autograd.Function):
    """`laid`: autograd alone would hand the gradient on as it comes, which BatchNorm reads wrongly for a batch of one."""

    @staticmethod
    def forward(x: Tensor, layout: torch.memory_format) -> Tensor:
        """x in `layout`."""
        return x.contiguous(memory_format=layout)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, torch.memory_format], output: Tensor) -> None:
        """What the gradient needs of it: the layout of x."""
        ctx.before = layout_of(inputs[0])

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        """The gradient in the layout of x."""
        return grad.contiguous(memory_format=ctx.before), None
