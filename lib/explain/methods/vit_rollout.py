"""What the tokens that a transformer's head reads are made of: attention rollout, and rollout weighted by gradients.

Of the rollout those rows are followed whose tokens the head reads (`lib.explain.methods.patch_transformers`), or their mean.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from lib.dcal import AttentionRollout, AttentionRolloutHook, KeptAttention
from lib.dcal.kept_attention import Kept
from lib.dcal.rollout import Layer
from lib.errors import WorkbookValueError
from lib.explain.methods.logits import logits_of
from lib.explain.methods.patch_transformers import PatchTransformer, vit_of
from lib.explain.methods.targets import scores


def rollout(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w] over the patches: the rows of Ŝ (arXiv 2005.00928), as `lib.dcal` has it, that the head reads; of no class.

    Raises:
        WorkbookValueError: the network attends otherwise than its kind does.
    """
    vit = vit_of(model)
    if vit.in_dcal:  # which keeps maps by itself
        with torch.no_grad(), AttentionRolloutHook(vit.net) as hook, vit.watched() as pictures:
            model(images)
        return over_patches(hook.layers, vit, pictures[0])
    with torch.no_grad(), KeptAttention(vit.attending, vit.depth) as kept, vit.watched() as pictures:
        model(images)
    return over_patches([each.layer for each in in_blocks(kept, vit)], vit, pictures[0])


def gradient_rollout(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w]: relevance to a class by Chefer et al. (arXiv 2103.15679, eqs. 5 and 6) for self-attention.

    Ā_l = mean_h (∇A_l ⊙ A_l)⁺, R = (I + Ā_L) ⋯ (I + Ā_1), of which the rows count that the head reads. A rollout of Ā
    halves each factor, so it is that but for 2^−L. Fused attention stays on: A comes from queries and keys, and
    ∇A = ∂y/∂(A v) vᵀ.

    Raises: what `rollout` does.
    """
    vit = vit_of(model)
    images = images.clone().requires_grad_()  # where the graph begins; parameters may be frozen
    with KeptAttention() as kept, vit.watched() as pictures:
        logits = logits_of(model, images).float()
    attended = in_blocks(kept, vit)
    gradients = torch.autograd.grad(scores(logits, targets).sum(), [each.traced for each in attended])
    relevances = zip(attended, gradients, strict=True)
    layers = [(each.of_maps(g) * each.maps).detach().clamp(min=0).mean(1, keepdim=True) for each, g in relevances]
    return over_patches(layers, vit, pictures[0])


def in_blocks(kept: KeptAttention, vit: PatchTransformer) -> list[Kept]:
    """What the blocks of `vit` attended to, first to last; what follows them may attend, too (GLCA).

    Raises:
        WorkbookValueError: there is not one attention a block.
    """
    if len(kept.attended) < vit.depth:
        raise WorkbookValueError(
            f"{len(kept.attended)} of {vit.depth} layers of this {type(vit.net).__name__} attend in a way that can be read: by "
            "scaled_dot_product_attention or a softmax of their scores. Take grad-cam, or with Hugging Face "
            "attn_implementation='sdpa'."
        )
    return kept.attended[: vit.depth]


def over_patches(layers: list[Layer], vit: PatchTransformer, images: Tensor) -> Tensor:
    """What the head's tokens are made of, [B, h, w] over the patches of `images`, from each layer's attention."""
    rows = [AttentionRollout().mean_row(layers, tokens) for tokens in vit.read]
    row = torch.stack(rows).mean(0)[:, vit.prefix :]
    return rearrange(row, "b (h w) -> b h w", h=vit.grid(images)[0])
