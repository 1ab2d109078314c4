"""Transformer attribution (Chefer, Gur & Wolf, CVPR 2021, arXiv 2012.09838): relevance of a class to each attention weight,
weighed by its gradient and rolled out.

Relevance R goes down from the class's logit: through linear layers to what speaks for it (z⁺), shared by the two sides of a
product and of a sum, there by what each adds up to, and through norms, softmax and activation functions as it is. Then
Ā_l = mean_h (∇A_l ⊙ R(A_l))⁺ and C = (I + Ā_L) ⋯ (I + Ā_1), of which the rows count that the head reads. A rollout of Ā
halves each factor, so it is that but for 2^−L. As in the authors' code biases take no relevance; there the sides of a sum
are measured over the whole batch, here in each image.
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lib.dcal import DCALNet, KeptAttention
from lib.dcal.kept_attention import Kept
from lib.errors import WorkbookValueError
from lib.explain.methods.eval_guards import unwrapped
from lib.explain.methods.logits import logits_of
from lib.explain.methods.patch_transformers import vit_of
from lib.explain.methods.plain_blocks import PlainBlock, PlainTransformer, plain_parts
from lib.explain.methods.targets import scores
from lib.explain.methods.vit_rollout import in_blocks, over_patches
from lib.glsa.attention import at_least_float32


def transformer_attribution(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w] over the patches.

    Raises:
        WorkbookValueError: what is explained is not made of the head's logits.
    """
    vit = vit_of(model)
    plain = plain_parts(vit)
    images = images.clone().requires_grad_()  # where the graph begins; parameters may be frozen
    with KeptAttention() as attention, vit.watched() as pictures, _Kept(plain) as kept:
        logits = logits_of(model, images)
    if plain.head not in kept.outputs:
        raise WorkbookValueError("Transformer attribution explains logits, and here the head was not asked for any.")
    attended = in_blocks(attention, vit)
    wanted = [*(each.traced for each in attended), kept.outputs[plain.head]]
    *gradients, relevance = torch.autograd.grad(scores(logits, targets).sum(), wanted)
    relevance = relevance.to(at_least_float32(relevance.dtype))
    relevance = _of_linear(kept.inputs[plain.head], plain.head.weight, relevance)
    tokens = kept.outputs[plain.norm].detach().to(relevance.dtype)
    below = torch.zeros_like(tokens)
    for tokens_read, of_them in zip(vit.read, relevance.chunk(len(vit.read), dim=1), strict=True):
        read = tokens[:, tokens_read]
        below[:, tokens_read] = read * _share(of_them, read.sum(1)).unsqueeze(1)
    layers, out = [], kept.inputs[plain.norm]
    for block, each, gradient in reversed(list(zip(plain.blocks, attended, gradients, strict=True))):
        below, of_attention = _of_block(block, kept, each, out, below)
        layers.append((each.of_maps(gradient) * of_attention).clamp(min=0).mean(1, keepdim=True))
        out = kept.inputs[block.norm1]
    return over_patches(layers[::-1], vit, pictures[0])


def has_transformer_attribution(model: nn.Module) -> bool:
    """Whether `model` is a ViT with plain blocks and a linear head, of whose logits something is explained."""
    vit, network = vit_of(model), unwrapped(model)
    if vit is None or isinstance(network, DCALNet) or hasattr(getattr(model, "target", None), "ask"):
        return False
    return plain_parts(vit) is not None


class _Kept:
    """What norms and linear layers are given, without its graph, and what they answer, in a with-block."""

    def __init__(self, plain: PlainTransformer) -> None:
        self.inputs: dict[nn.Module, Tensor] = {}
        self.outputs: dict[nn.Module, Tensor] = {}
        self._hooks = ExitStack()
        of_blocks = [part for block in plain.blocks for part in (block.norm1, block.norm2, block.fc1, block.fc2)]
        self._parts = [*of_blocks, plain.norm, plain.head]

    def _keep(self, part: nn.Module, args: tuple, output: Tensor) -> None:
        self.inputs[part], self.outputs[part] = args[0].detach(), output

    def __enter__(self) -> _Kept:
        for part in self._parts:
            self._hooks.enter_context(part.register_forward_hook(self._keep))
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.close()


def _of_block(block: PlainBlock, kept: _Kept, attended: Kept, out: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
    """Relevance of what enters a block [B, T, D], and of its attention [B, h, T, T], from that of what it answers, `out`."""
    into, between = kept.inputs[block.norm1], kept.inputs[block.norm2]
    around, through = _of_sum(between, out - between, above)
    through = _of_linear(kept.inputs[block.fc2], block.fc2.weight, through)
    above = around + _of_linear(kept.inputs[block.fc1], block.fc1.weight, through)
    around, through = _of_sum(into, between - into, above)
    maps, normed = attended.maps.detach(), kept.outputs[block.norm1].detach()

    def by_head(tokens: Tensor) -> Tensor:
        return rearrange(tokens.to(above.dtype), "b t (h d) -> b h t d", h=maps.shape[1])

    q, k, v = (by_head(F.linear(normed, *projection).detach()) for projection in block.qkv)
    heads = rearrange(maps @ v, "b h t d -> b t (h d)")
    of_attention, of_v = _of_product(maps, v, by_head(_of_linear(heads, block.proj, through)))
    of_q, of_k = _of_product(q, k.mT, of_attention)
    of_qkv = (rearrange(part, "b h t d -> b t (h d)") for part in (of_q, of_k.mT, of_v))
    of_normed = sum(_of_linear(normed, w, part) for (w, _), part in zip(block.qkv, of_qkv, strict=True))
    return around + of_normed, of_attention


def _of_linear(x: Tensor, weight: Tensor, above: Tensor) -> Tensor:
    """Relevance [B, …, in] of what a layer was given, from [B, …, out]: shared by what is positive of x · w."""
    x, w = x.to(above.dtype), weight.detach().to(above.dtype)
    signs = ((x.clamp(min=0), w.clamp(min=0)), (x.clamp(max=0), w.clamp(max=0)))
    share = _share(above, sum(F.linear(x, w) for x, w in signs))
    return sum(x * (share @ w) for x, w in signs)


def _of_sum(passing: Tensor, branch: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
    """Relevance of what passes by and of what a branch adds, whose sum is that of their sum, in the ratio of their sizes."""
    sides = [passing.to(above.dtype), branch.to(above.dtype)]
    share = _share(above, sides[0] + sides[1])
    sides = [x * share for x in sides]
    totals = [side.sum((1, 2), keepdim=True) for side in sides]
    size = totals[0].abs() + totals[1].abs()
    whole = above.sum((1, 2), keepdim=True)
    return tuple(side * _share(_share(t.abs(), size) * whole, t) for side, t in zip(sides, totals, strict=True))


def _of_product(a: Tensor, b: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
    """Relevance of both factors of the matrix product a b, half of it each."""
    share = _share(above, a @ b)
    return a * (share @ b.mT) / 2, b * (a.mT @ share) / 2


def _share(above: Tensor, of: Tensor) -> Tensor:
    """above / of, which is 0 where there is nothing to share."""
    return torch.where(of == 0, 0, above / (of + 1e-9 * of.sign()))
