"""Reading the rollout of any timm ViT or DeiT while it runs, fused attention left on.

Hooks on an attention's output see no weights under fused attention, which is why public tools come back empty. Queries
and keys always exist: the hooks sit on `q_norm` and `k_norm`, which every timm attention calls, identity or not. Where a
network turns them by their place afterwards (Eva, DINOv3), so does the hook, by the places of the patches in eval mode.
"""

from __future__ import annotations

from functools import partial

import torch
from timm.layers import Attention
from torch import Tensor, nn

from lib.dcal.rollout import AttentionRollout
from lib.dcal.selection import top_patches
from lib.dcal.vit import Rope, attentions, refuse_mask, ropes_of, turned
from lib.errors import WorkbookError, WorkbookValueError


class AttentionRolloutHook:
    """Collects queries and keys of the last forward of `model`, and rolls them out on request.

        with AttentionRolloutHook(model) as hook:
            model(images)
        hook.get_cls_attention()

    The model computes exactly what it did before. What was collected can be read after `remove`.

    Args:
        model: a timm VisionTransformer.
        head_fusion: see `AttentionRollout`.

    Raises:
        WorkbookValueError: the model's attention cannot be read; see `attentions`.
    """

    def __init__(self, model: nn.Module, head_fusion: str | int = "mean") -> None:
        self.rollout = AttentionRollout(head_fusion)
        layers = attentions(model)
        self.depth, self.prefix = len(layers), model.num_prefix_tokens
        self.has_class_token = model.cls_token is not None
        self._queries: dict[int, Tensor] = {}
        self._keys: dict[int, Tensor] = {}
        self._attentions: list[nn.Module] = layers
        self._ropes: list[Rope] = [None] * len(layers)
        self._handles = [model.patch_embed.register_forward_hook(self._collect_places)]
        self._places = partial(ropes_of, model)
        for number, attn in enumerate(layers):
            self._handles += [
                attn.register_forward_pre_hook(_refuse_masks, with_kwargs=True),
                attn.q_norm.register_forward_hook(partial(self._collect_queries, number)),
                attn.k_norm.register_forward_hook(partial(self._collect_keys, number)),
            ]

    @property
    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Queries and keys of every layer, [B, h, T, d] each.

        Raises:
            WorkbookError: there was no forward since the hooks were set, or it did not come to its end.
        """
        collected = sorted(self._queries.keys() & self._keys.keys())
        if collected != list(range(self.depth)):
            raise WorkbookError(
                f"The rollout collected {len(collected)} of {self.depth} layers: call the model once, model(images), "
                "while the hook is in place, and read it before backward() where gradients are checkpointed."
            )
        parts = zip(self._attentions, self._queries.values(), self._keys.values(), self._ropes, strict=True)
        return [(turned(attn, q, rope), turned(attn, k, rope)) for attn, q, k, rope in parts]

    def get_rollout(self) -> Tensor:
        """[B, T, T]: the whole of Ŝ over all tokens. It costs N³ a layer; the class token's row alone costs N²."""
        return self.rollout.matrix(self.layers)

    def get_cls_attention(self) -> Tensor:
        """[B, N]: the class token's row of Ŝ over the patch tokens, DCAL's scores.

        Raises:
            WorkbookValueError: the model has no class token.
        """
        if not self.has_class_token:
            raise WorkbookValueError(
                "This network has no class token, whose row this is. Choose one that has, such as 'deit_tiny_patch16_224', "
                "or get_rollout(), the rows of all its tokens."
            )
        return self.rollout.row(self.layers)[:, self.prefix :]

    def get_attention(self, layer: int) -> Tensor:
        """[B, T, T]: the attention of one layer, numbered from 0, its heads fused.

        Raises:
            WorkbookValueError: there is no such layer.
        """
        if not 0 <= layer < self.depth:
            raise WorkbookValueError(f"There is no layer {layer}: the model has layers 0 to {self.depth - 1}.")
        return self.rollout.attention(self.layers[layer])

    def select_top_tokens(self, top_ratio: float = 0.1) -> Tensor:
        """[B, N], True for the `top_ratio` of the patch tokens with the highest scores, rounded up."""
        scores = self.get_cls_attention()
        chosen = torch.zeros_like(scores, dtype=torch.bool)
        return chosen.scatter_(1, top_patches(scores, top_ratio), True)

    def remove(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __enter__(self) -> AttentionRolloutHook:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def _collect_places(self, module: nn.Module, args: tuple, patches: Tensor) -> None:
        self._ropes = self._places(patches)

    def _collect_queries(self, number: int, module: nn.Module, args: tuple, q: Tensor) -> None:
        if number == 0:  # a new forward: never layers of two of them, and never 24 for 12
            self._queries, self._keys = {}, {}
        if number not in self._queries:  # the second time it is PWCA, which goes through the blocks again
            self._queries[number] = _copy(q)

    def _collect_keys(self, number: int, module: nn.Module, args: tuple, k: Tensor) -> None:
        if number not in self._keys:
            self._keys[number] = _copy(k)


def _copy(part: Tensor) -> Tensor:
    """A copy, since queries and keys are often views of one tensor and would keep the values alive, a third more."""
    return part.detach().clone(memory_format=torch.contiguous_format)


def _refuse_masks(attn: Attention, args: tuple, kwargs: dict) -> None:
    given = dict(zip(("attn_mask", "is_causal"), args[1:], strict=False)) | kwargs
    refuse_mask(given.get("attn_mask"), bool(given.get("is_causal")))
