"""1×1 convolutions as the products of matrices that they are."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import linear


class Pointwise(nn.Conv2d):
    """A 1×1 convolution with channels last in memory: as attention reads them that keeps no [N, N] map for the gradient.

    Parameters are `nn.Conv2d`'s. On a CPU one product over all positions of all images runs near the machine's peak, forward
    and for both gradients; oneDNN's convolution does not for the weights' gradient in this layout, nor for either in the other.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, O, H, W]"""
        return pointwise(x, self.weight, self.bias)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The 1×1 convolution of x [B, C, H, W] by weight [O, C, 1, 1] and bias [O]: [B, O, H, W], channels last in memory."""
    return rearrange(linear(rearrange(x, "b c y x -> b y x c"), weight.flatten(1), bias), "b y x o -> b o y x")


def channels_last(x: Tensor) -> Tensor:
    """The same [B, C, H, W], a position's channels together in memory."""
    return x.contiguous(memory_format=torch.channels_last)
