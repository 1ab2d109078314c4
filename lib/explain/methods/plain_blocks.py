"""Transformers whose parts all stand in the first ViT's order, by the names that timm, torchvision and Hugging Face give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torchvision
from timm.layers import Mlp
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from lib.explain.methods.patch_transformers import PatchTransformer

OF_HUGGING_FACE = ("ViT", "DeiT", "Dinov2")  # beginnings of the names of its plain classifiers


Projection = tuple[Tensor, Tensor | None]  # weight [h·d, D] and bias


@dataclass(frozen=True)
class PlainBlock:
    """x + proj(heads(qkv(norm1(x)))) and then x + fc2(f(fc1(norm2(x)))), each branch scaled or not."""

    norm1: nn.Module
    qkv: Sequence[Projection]  # three
    proj: Tensor  # weight [D, h·d]
    norm2: nn.Module
    fc1: nn.Linear
    fc2: nn.Linear


@dataclass(frozen=True)
class PlainTransformer:
    """Blocks, the norm behind them, and the linear head that reads its tokens."""

    blocks: Sequence[PlainBlock]
    norm: nn.Module
    head: nn.Linear


def plain_parts(vit: PatchTransformer) -> PlainTransformer | None:
    """The parts of `vit`; None where it has others, such as gates, places in its attention, or two heads."""
    net = vit.net
    if type(net) is VisionTransformer:
        parts = [_of_timm(block) for block in net.blocks], net.norm, net.head
    elif type(net) is torchvision.models.VisionTransformer:
        parts = [_of_torchvision(block) for block in net.encoder.layers], net.encoder.ln, net.heads[-1]
        if len(net.heads) > 1:
            return None
    elif type(net).__name__.startswith(OF_HUGGING_FACE):
        blocks = [block for part in net.modules() if (block := _of_hugging_face(part)) is not None]
        blocks += [None] * (vit.depth - len(blocks))
        parts = blocks, getattr(net.base_model, "layernorm", None), getattr(net, "classifier", None)
    else:
        return None
    blocks, norm, head = parts
    plain = all(blocks) and norm is not None and isinstance(head, nn.Linear)
    return PlainTransformer(blocks, norm, head) if plain else None


def _of_timm(block: nn.Module) -> PlainBlock | None:
    if type(block) is not Block or type(block.mlp) is not Mlp:
        return None
    attn, mlp = block.attn, block.mlp
    if not all(isinstance(norm, nn.Identity) for norm in (attn.q_norm, attn.k_norm, attn.norm, mlp.norm)):
        return None
    qkv = _thirds(attn.qkv.weight, attn.qkv.bias)
    return PlainBlock(block.norm1, qkv, attn.proj.weight, block.norm2, mlp.fc1, mlp.fc2)


def _of_torchvision(block: nn.Module) -> PlainBlock:
    attn, (fc1, *_, fc2, _) = block.self_attention, block.mlp
    qkv = _thirds(attn.in_proj_weight, attn.in_proj_bias)
    return PlainBlock(block.ln_1, qkv, attn.out_proj.weight, block.ln_2, fc1, fc2)


def _of_hugging_face(layer: nn.Module) -> PlainBlock | None:
    """A layer with `attention` and `mlp`; a gated MLP is none."""
    attn, mlp = (getattr(layer, name, None) for name in ("attention", "mlp"))
    linear = [getattr(attn, f"{name}_proj", None) for name in "qkvo"] + [
        getattr(mlp, name, None) for name in ("fc1", "fc2")
    ]
    if not all(isinstance(part, nn.Linear) for part in linear):
        return None
    norms = ("norm1", "norm2") if hasattr(layer, "norm1") else ("layernorm_before", "layernorm_after")
    first, second = (getattr(layer, name) for name in norms)
    qkv = [(part.weight, part.bias) for part in linear[:3]]
    return PlainBlock(first, qkv, linear[3].weight, second, *linear[4:])


def _thirds(weight: Tensor, bias: Tensor | None) -> list[Projection]:
    return list(zip(weight.chunk(3), (None,) * 3 if bias is None else bias.chunk(3), strict=True))
