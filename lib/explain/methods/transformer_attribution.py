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
from timm.layers import Mlp
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from lib.dcal import AttentionRolloutHook, DCALNet
from lib.errors import WorkbookValueError
from lib.explain.methods.eval_guards import unwrapped
from lib.explain.methods.logits import logits_of
from lib.explain.methods.targets import scores
from lib.explain.methods.vit_rollout import Heads, over_patches, read_by_head, shown_to, vit_of
from lib.glsa.attention import at_least_float32, attention


def transformer_attribution(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w] over the patches.

    Raises:
        WorkbookValueError: what is explained is not made of the head's logits.
    """
    vit = vit_of(model)
    images = images.clone().requires_grad_()  # where the graph begins; parameters may be frozen
    with AttentionRolloutHook(vit) as hook, Heads(vit) as heads, shown_to(vit) as pictures, _Kept(vit) as kept:
        logits = logits_of(model, images)
    if vit.head not in kept.outputs:
        raise WorkbookValueError("Transformer attribution explains logits, and here the head was not asked for any.")
    wanted = [*heads.outputs, kept.outputs[vit.head]]
    *of_heads, relevance = torch.autograd.grad(scores(logits, targets).sum(), wanted)
    relevance = _of_linear(vit.head, kept, relevance.to(at_least_float32(relevance.dtype)))
    tokens = kept.outputs[vit.norm].detach().to(relevance.dtype)
    read, below = tokens[:, read_by_head(vit)], torch.zeros_like(tokens)
    below[:, read_by_head(vit)] = read * _share(relevance, read.sum(1)).unsqueeze(1)
    layers = []
    of_blocks = zip(vit.blocks, hook.layers, heads.values, of_heads, strict=True)
    for block, (q, k), v, gradient in reversed(list(of_blocks)):
        below, of_attention = _of_block(block, kept, below, *(part.to(below.dtype) for part in (q, k, v)))
        gradient = rearrange(gradient.to(below.dtype), "b t (h d) -> b h t d", h=q.shape[1]) @ v.to(below.dtype).mT
        layers.append((gradient * of_attention).clamp(min=0).mean(1, keepdim=True))
    return over_patches(layers[::-1], vit, pictures[0])


def has_transformer_attribution(model: nn.Module) -> bool:
    """Whether `model` is a ViT of timm's with plain blocks and a linear head, of whose logits something is explained."""
    vit, network = vit_of(model), unwrapped(model)
    if isinstance(network, DCALNet) or hasattr(getattr(model, "target", None), "ask"):
        return False
    return type(vit) is VisionTransformer and isinstance(vit.head, nn.Linear) and all(map(_plain, vit.blocks))


def _plain(block: nn.Module) -> bool:
    norms = (block.attn.q_norm, block.attn.k_norm, block.attn.norm) if type(block) is Block else ()
    return len(norms) == 3 and all(map(_passes, norms)) and type(block.mlp) is Mlp and _passes(block.mlp.norm)


def _passes(part: nn.Module) -> bool:
    return isinstance(part, nn.Identity)


class _Kept:
    """What the linear layers, norms and branches of `vit` are given, and what they answer, in a with-block."""

    def __init__(self, vit: VisionTransformer) -> None:
        self.inputs: dict[nn.Module, Tensor] = {}
        self.outputs: dict[nn.Module, Tensor] = {}
        self._hooks, self._parts = ExitStack(), [vit.norm, vit.head]
        for block in vit.blocks:
            linear = (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2)
            self._parts += [*linear, block.norm1, block.norm2, block.drop_path1, block.drop_path2]

    def _keep(self, part: nn.Module, args: tuple, output: Tensor) -> None:
        self.inputs[part], self.outputs[part] = args[0].detach(), output

    def __enter__(self) -> _Kept:
        for part in self._parts:
            self._hooks.enter_context(part.register_forward_hook(self._keep))
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.close()


def _of_block(block: Block, kept: _Kept, above: Tensor, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Relevance of what enters a block [B, T, D], and of its attention [B, h, T, T], from that of what it answers."""
    attn, mlp = block.attn, block.mlp
    around, through = _of_sum(kept, block.norm2, block.drop_path2, above)
    above = around + _of_linear(mlp.fc1, kept, _of_linear(mlp.fc2, kept, through))
    around, through = _of_sum(kept, block.norm1, block.drop_path1, above)
    of_heads = rearrange(_of_linear(attn.proj, kept, through), "b t (h d) -> b h t d", h=q.shape[1])
    of_attention, of_v = _of_product(attention(q, k), v, of_heads)
    of_q, of_k = _of_product(q, k.mT, of_attention)
    of_qkv = rearrange([of_q, of_k.mT, of_v], "three b h t d -> b t (three h d)")
    return around + _of_linear(attn.qkv, kept, of_qkv), of_attention


def _of_linear(layer: nn.Linear, kept: _Kept, above: Tensor) -> Tensor:
    """Relevance [B, …, in] of what `layer` was given, from [B, …, out]: shared by what is positive of x · w."""
    x, w = kept.inputs[layer].to(above.dtype), layer.weight.detach().to(above.dtype)
    signs = ((x.clamp(min=0), w.clamp(min=0)), (x.clamp(max=0), w.clamp(max=0)))
    share = _share(above, sum(F.linear(x, w) for x, w in signs))
    return sum(x * (share @ w) for x, w in signs)


def _of_sum(kept: _Kept, norm: nn.Module, branch: nn.Module, above: Tensor) -> tuple[Tensor, Tensor]:
    """Relevance of what passes by and of what a branch adds, whose sum is that of their sum, in the ratio of their sizes."""
    sides = [x.detach().to(above.dtype) for x in (kept.inputs[norm], kept.outputs[branch])]
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
