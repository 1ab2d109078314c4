"""Transformers over patches, of timm, torchvision and Hugging Face, and which of their tokens the head reads.

A head reads the class token, the class and the distillation token alike (DeiT), or the mean of the patches; DINOv2's in
Hugging Face the class token and the mean of the patches side by side, both alike here. A head that mixes tokens otherwise,
by attention or by their greatest, is none of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torchvision
from timm.models.beit import Attention as BeitAttention
from timm.models.beit import Beit
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_relpos import RelPosAttention, VisionTransformerRelPos
from torch import Tensor, nn

from lib.dcal import DCALNet
from lib.dcal.vit import attentions, grid_of
from lib.errors import WorkbookValueError
from lib.explain.methods.eval_guards import unwrapped

FIRST = slice(0, 1)  # the class token
WITH_PLACES = {Beit: BeitAttention, VisionTransformerRelPos: RelPosAttention}  # a bias of the scores
FAMILIES = (VisionTransformer, Eva, *WITH_PLACES)  # of timm
Read = tuple[slice, ...]


@dataclass(frozen=True)
class PatchTransformer:
    """A network whose attention can be rolled out.

    Args:
        net: the network.
        depth: attentions in a forward.
        prefix: tokens before those of the patches.
        read: the tokens that the head reads: those of a slice alike, and the slices.
        embed: what is shown the images.
        grid: rows and columns of patches in images [B, 3, H, W].
        attending: the modules that attend, where they are known.
        in_dcal: whether DCAL's network goes through its blocks.
    """

    net: nn.Module
    depth: int
    prefix: int
    read: Read
    embed: nn.Module
    grid: Callable[[Tensor], tuple[int, int]]
    attending: tuple[nn.Module, ...] = ()
    in_dcal: bool = False

    @contextmanager
    def watched(self) -> Iterator[list[Tensor]]:
        """The images that it is shown meanwhile, which what stands before it may have resized."""
        pictures: list[Tensor] = []
        with self.embed.register_forward_pre_hook(lambda _, args: pictures.append(args[0])):
            yield pictures


def vit_of(model: nn.Module) -> PatchTransformer | None:
    """The transformer that `model` is, or has, whose attention can be rolled out, or None: by itself, in DCAL's network, or
    with other parts in a Sequential, which call it as a whole."""
    model = unwrapped(model)
    if isinstance(model, nn.Sequential):
        vits = [vit for part in model if (vit := vit_of(part)) is not None]
        return vits[0] if len(vits) == 1 else None
    if isinstance(model, DCALNet):
        vit = _of_timm(model.vit)
        return None if vit is None else replace(vit, in_dcal=True)
    if isinstance(model, FAMILIES):
        return _of_timm(model)
    if type(model) is torchvision.models.VisionTransformer:
        attending = tuple(layer.self_attention for layer in model.encoder.layers)
        return replace(_by_convolution(model, len(attending), 1, (FIRST,)), attending=attending)
    return _of_hugging_face(model) if type(model).__module__.startswith("transformers.") else None


def _of_timm(vit: nn.Module) -> PatchTransformer | None:
    read = _read_in_timm(vit)
    if read is None or not _known_attention(vit):
        return None

    def grid(images: Tensor) -> tuple[int, int]:
        of_vit = isinstance(vit, VisionTransformer)
        return grid_of(vit, images) if of_vit else vit.patch_embed.dynamic_feat_size(images.shape[2:])

    attending = tuple(block.attn for block in vit.blocks)
    return PatchTransformer(vit, len(attending), vit.num_prefix_tokens, (read,), vit.patch_embed, grid, attending)


def _known_attention(vit: nn.Module) -> bool:
    """Whether every block attends once, by queries and keys of all tokens."""
    if type(vit) in WITH_PLACES:
        return all(type(block.attn) is WITH_PLACES[type(vit)] for block in vit.blocks)
    try:
        attentions(vit)
    except WorkbookValueError:
        return False
    return True


def _read_in_timm(vit: nn.Module) -> slice | None:
    """The tokens that the head of one of timm's reads, all alike; None where it mixes them otherwise."""
    kind = type(vit)
    if kind.forward_head is VisionTransformerDistilled.forward_head:
        return slice(0, 2)
    family = next(family for family in FAMILIES if issubclass(kind, family))
    if any(
        getattr(kind, name, None) is not getattr(family, name, None) for name in ("forward", "forward_head", "pool")
    ):
        return None
    patches = slice(0 if getattr(vit, "pool_include_prefix", False) else vit.num_prefix_tokens, None)
    return {"token": FIRST, "avg": patches}.get(vit.global_pool)


def _of_hugging_face(model: nn.Module) -> PatchTransformer | None:
    config = getattr(model, "config", None)
    config = getattr(config, "vision_config", config)
    found = _read_in_hugging_face(type(model).__name__, config)
    return None if found is None else _by_convolution(model, config.num_hidden_layers, *found)


def _read_in_hugging_face(name: str, config: object) -> tuple[int, Read] | None:
    """Tokens before the patches and those that the head reads, of the classifier called `name`."""
    after = 1 + getattr(config, "num_register_tokens", 0)
    patches = slice(after, None)
    return {
        "ViTForImageClassification": (1, (FIRST,)),
        "ViTMSNForImageClassification": (1, (FIRST,)),
        "DeiTForImageClassification": (2, (FIRST,)),
        "DeiTForImageClassificationWithTeacher": (2, (slice(0, 2),)),
        "Dinov2ForImageClassification": (1, (FIRST, patches)),
        "Dinov2WithRegistersForImageClassification": (after, (FIRST, patches)),
        "BeitForImageClassification": (1, (patches if getattr(config, "use_mean_pooling", True) else FIRST,)),
        "Data2VecVisionForImageClassification": (1, (patches if getattr(config, "use_mean_pooling", True) else FIRST,)),
        "CLIPForImageClassification": (1, (patches,)),
        "SiglipForImageClassification": (0, (slice(0, None),)),
        "IJepaForImageClassification": (0, (slice(0, None),)),
    }.get(name)


def _by_convolution(net: nn.Module, depth: int, prefix: int, read: Read) -> PatchTransformer:
    """One whose patches are cut by its first convolution."""
    cut = next(part for part in net.modules() if isinstance(part, nn.Conv2d))

    def grid(images: Tensor) -> tuple[int, int]:
        return images.shape[2] // cut.stride[0], images.shape[3] // cut.stride[1]

    return PatchTransformer(net, depth, prefix, read, cut, grid)
