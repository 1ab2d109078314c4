"""Layers written down from their formulas, which those of `lib.glsa` are compared with."""

import torch
from torch import Tensor, nn


def conv1x1(x: Tensor, conv: nn.Module) -> Tensor:
    """A 1×1 convolution as the matrix product it is: [B, C, H, W] → [B, O, H, W]"""
    out = torch.einsum("oc,bchw->bohw", conv.weight.flatten(1), x)
    return out if conv.bias is None else out + conv.bias[:, None, None]


def batch_norm(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Batch normalisation by its formula, with the batch's statistics in training and the running ones in eval."""
    if norm.training:
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    else:
        mean, var = norm.running_mean, norm.running_var
    scale = norm.weight / (var + norm.eps).sqrt()
    return (x - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]


def matmul_attention(q: Tensor, k: Tensor, v: Tensor, num_heads: int) -> Tensor:
    """softmax(q kᵀ / √d) v head by head; q, k, v [B, N, C] → [B, N, C]"""
    heads = []
    for q_h, k_h, v_h in zip(*(t.chunk(num_heads, dim=2) for t in (q, k, v)), strict=True):
        scores = q_h @ k_h.transpose(1, 2) / q_h.shape[2] ** 0.5
        heads.append(scores.exp() / scores.exp().sum(2, keepdim=True) @ v_h)
    return torch.cat(heads, dim=2)


def flat(x: Tensor) -> Tensor:
    """[B, C, H, W] → [B, N, C]"""
    return x.flatten(2).transpose(1, 2)


def folded(x: Tensor, like: Tensor) -> Tensor:
    """[B, N, C] → [B, C, H, W]"""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], *like.shape[2:])
