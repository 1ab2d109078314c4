"""Small networks of DCAL's kind, and their attention and rollout by matrix products."""

import timm
import torch
from torch import Tensor, nn

from lib.dcal import DCALNet, create_dcal_model
from tests.helpers import float64, randomised

SIZES = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3}  # 16 patches
DEIT, DISTILLED = "deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"


def tiny_vit(name: str = DEIT, num_classes: int = 5, **options: object) -> nn.Module:
    return randomised(timm.create_model(name, num_classes=num_classes, **SIZES | options), std=0.4).eval()


def tiny_dcal(name: str = DEIT, num_classes: int = 5, **options: object) -> DCALNet:
    return randomised(create_dcal_model(name, num_classes, **SIZES | {"top_ratio": 0.25} | options), std=0.4).eval()


def images(batch: int = 4, height: int = 32, width: int = 32) -> Tensor:
    return float64(batch, 3, height, width, seed=9)


def unfused(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Every layer's attention maps [B, h, T, T], by softmax(q kᵀ / √d) from what goes into `qkv` of each block."""
    maps, handles = [], []

    def read(attn: nn.Module, args: tuple, out: Tensor) -> None:
        q, k, _ = attn.qkv(args[0]).unflatten(2, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        scores = attn.q_norm(q) @ attn.k_norm(k).mT / q.shape[-1] ** 0.5
        maps.append(scores.exp() / scores.exp().sum(-1, keepdim=True))

    handles = [block.attn.register_forward_hook(read) for block in model.blocks]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return maps


def chained(maps: list[Tensor]) -> Tensor:
    """S̄_L ⋯ S̄_1 by matrix products, heads averaged: [B, T, T]"""
    identity = torch.eye(maps[0].shape[-1], dtype=maps[0].dtype)
    product = identity.expand(len(maps[0]), -1, -1)
    for attention in maps:
        product = (attention.mean(1) / 2 + identity / 2) @ product
    return product
