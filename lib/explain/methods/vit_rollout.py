"""What the tokens that a ViT's head reads are made of: attention rollout, and rollout weighted by gradients.

A head reads the class token, the class and the distillation token alike (DeiT), or the mean of the patches
(`global_pool="avg"`): that row of the rollout, or the mean of those rows, is followed. A head that mixes tokens
otherwise, by attention or by their greatest, has no rollout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from einops import einsum, rearrange
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lib.dcal import AttentionRollout, AttentionRolloutHook, DCALNet, KeptAttention
from lib.dcal.vit import attentions, grid_of
from lib.errors import WorkbookValueError
from lib.explain.methods.eval_guards import unwrapped
from lib.explain.methods.logits import logits_of
from lib.explain.methods.targets import scores
from lib.glsa.attention import attention


def vit_of(model: nn.Module) -> VisionTransformer | None:
    """The ViT that `model` is, or has, whose attention can be rolled out, or None: by itself, in DCAL's network, or with
    other parts in a Sequential, which call it as a whole."""
    model = unwrapped(model)
    if isinstance(model, nn.Sequential):
        vits = [vit for part in model if (vit := vit_of(part)) is not None]
        return vits[0] if len(vits) == 1 else None
    vit = model.vit if isinstance(model, DCALNet) else model
    try:
        attentions(vit)
    except WorkbookValueError:  # no ViT of timm's, or attention of another kind
        return None
    return None if read_by_head(vit) is None else vit


def read_by_head(vit: VisionTransformer) -> slice | None:
    """The tokens that the head of `vit` reads, all alike; None where it mixes them otherwise."""
    kind, of_timm = type(vit), VisionTransformer
    if kind.forward_head is VisionTransformerDistilled.forward_head:
        return slice(0, 2)
    if (kind.forward, kind.forward_head, kind.pool) != (of_timm.forward, of_timm.forward_head, of_timm.pool):
        return None
    patches = slice(0 if vit.pool_include_prefix else vit.num_prefix_tokens, None)
    return {"token": slice(0, 1), "avg": patches}.get(vit.global_pool)


def rollout(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w] over the patches: the rows of Ŝ (arXiv 2005.00928), as `lib.dcal` has it, that the head reads; of no class."""
    vit = vit_of(model)
    by_itself = any(isinstance(part, DCALNet) for part in model.modules())  # it goes through the ViT's blocks
    with (
        torch.no_grad(),
        (AttentionRolloutHook if by_itself else KeptAttention)(vit) as kept,
        shown_to(vit) as pictures,
    ):
        model(images)
    return over_patches(kept.layers, vit, pictures[0])


def gradient_rollout(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w]: relevance to a class by Chefer et al. (arXiv 2103.15679, eqs. 5 and 6) for self-attention.

    Ā_l = mean_h (∇A_l ⊙ A_l)⁺, R = (I + Ā_L) ⋯ (I + Ā_1), of which the rows count that the head reads. A rollout of Ā
    halves each factor, so it is that but for 2^−L. Fused attention stays on: A comes from queries and keys, and
    ∇A = ∂y/∂(A v) vᵀ.
    """
    vit = vit_of(model)
    images = images.clone().requires_grad_()  # where the graph begins; parameters may be frozen
    with AttentionRolloutHook(vit) as hook, Heads(vit) as heads, shown_to(vit) as pictures:
        logits = logits_of(model, images).float()
    gradients = torch.autograd.grad(scores(logits, targets).sum(), heads.outputs)
    layers = [
        _relevance(q, k, v, rearrange(g, "b t (h d) -> b h t d", h=q.shape[1]))
        for (q, k), v, g in zip(hook.layers, heads.values, gradients, strict=True)
    ]
    return over_patches(layers, vit, pictures[0])


def _relevance(q: Tensor, k: Tensor, v: Tensor, gradient: Tensor) -> Tensor:
    """(∇A ⊙ A)⁺, mean over the heads, from four times [B, h, T, d]: [B, 1, T, T]"""
    of_attention = einsum(gradient.float(), v.float(), "b h i d, b h j d -> b h i j")
    return (of_attention * attention(q, k)).clamp(min=0).mean(1, keepdim=True)


class Heads:
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

    def __enter__(self) -> Heads:
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()


@contextmanager
def shown_to(vit: VisionTransformer) -> Iterator[list[Tensor]]:
    """The images that `vit` is shown meanwhile, which what stands before it may have resized."""
    pictures: list[Tensor] = []
    handle = vit.patch_embed.register_forward_pre_hook(lambda _, args: pictures.append(args[0]))
    try:
        yield pictures
    finally:
        handle.remove()


def over_patches(layers: list, vit: VisionTransformer, images: Tensor) -> Tensor:
    """What the head's tokens are made of, [B, h, w] over the patches of `images`, from each layer's attention."""
    row = AttentionRollout().mean_row(layers, read_by_head(vit))[:, vit.num_prefix_tokens :]
    return rearrange(row, "b (h w) -> b h w", h=grid_of(vit, images)[0])
