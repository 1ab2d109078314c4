"""What the class token of a ViT is made of: attention rollout, and rollout weighted by gradients."""

from __future__ import annotations

import torch
from einops import einsum, rearrange
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lib.dcal import AttentionRollout, AttentionRolloutHook, DCALNet
from lib.dcal.vit import attentions, grid_of
from lib.errors import WorkbookValueError
from lib.explain.methods.targets import scores
from lib.glsa.attention import attention


def vit_of(model: nn.Module) -> VisionTransformer | None:
    """The ViT that `model` is, or has, whose attention can be rolled out, or None."""
    vit = model.vit if isinstance(model, DCALNet) else model
    try:
        attentions(vit)
    except WorkbookValueError:  # no ViT of timm's, no class token, or attention of another kind
        return None
    return vit


def rollout(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w] over the patches: the class token's row of Ŝ (arXiv 2005.00928), as `lib.dcal` has it; of no class."""
    vit = vit_of(model)
    with torch.no_grad(), AttentionRolloutHook(vit) as hook:
        vit.forward_features(images)
    return over_patches(hook.get_cls_attention(), vit, images)


def gradient_rollout(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w]: relevance to a class by Chefer et al. (arXiv 2103.15679, eqs. 5 and 6) for self-attention.

    Ā_l = mean_h (∇A_l ⊙ A_l)⁺, R = (I + Ā_L) ⋯ (I + Ā_1), of which the class token's row counts. A rollout of Ā halves
    each factor, so it is that row but for 2^−L. Fused attention stays on: A comes from queries and keys, and
    ∇A = ∂y/∂(A v) vᵀ.
    """
    vit = vit_of(model)
    images = images.clone().requires_grad_()  # where the graph begins; parameters may be frozen
    with AttentionRolloutHook(vit) as hook, _Heads(vit) as heads:
        logits = model(images).float()
    gradients = torch.autograd.grad(scores(logits, targets).sum(), heads.outputs)
    layers = [
        _relevance(q, k, v, rearrange(g, "b t (h d) -> b h t d", h=q.shape[1]))
        for (q, k), v, g in zip(hook.layers, heads.values, gradients, strict=True)
    ]
    return over_patches(AttentionRollout().row(layers)[:, hook.prefix :], vit, images)


def _relevance(q: Tensor, k: Tensor, v: Tensor, gradient: Tensor) -> Tensor:
    """(∇A ⊙ A)⁺, mean over the heads, from four times [B, h, T, d]: [B, 1, T, T]"""
    of_attention = einsum(gradient.float(), v.float(), "b h i d, b h j d -> b h i j")
    return (of_attention * attention(q, k)).clamp(min=0).mean(1, keepdim=True)


class _Heads:
    """The values that each layer attends over [B, h, T, d], and what its heads answer [B, T, h·d], with its graph."""

    def __init__(self, vit: VisionTransformer) -> None:
        self.values: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self._handles = []
        for attn in attentions(vit):
            self._handles += [
                attn.qkv.register_forward_hook(
                    lambda _, args, qkv, heads=attn.num_heads: self._keep_values(qkv, heads)
                ),
                attn.norm.register_forward_pre_hook(lambda _, args: self.outputs.append(args[0])),
            ]

    def _keep_values(self, qkv: Tensor, heads: int) -> None:
        self.values.append(rearrange(qkv.detach().chunk(3, dim=2)[2], "b t (h d) -> b h t d", h=heads))

    def __enter__(self) -> _Heads:
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()


def over_patches(rows: Tensor, vit: VisionTransformer, images: Tensor) -> Tensor:
    """[B, h·w] over the patches of `images` → [B, h, w]"""
    return rearrange(rows, "b (h w) -> b h w", h=grid_of(vit, images)[0])
