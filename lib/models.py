"""Every network of the workbook by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from lib.backbones import BACKBONES, Backbone, build_backbone
from lib.errors import choose
from lib.glsa import LOCAL_ATTENTION, GLSABlock, GLSANet

# Networks that bring their own attention: name → build(num_classes, pretrained). `attn_type` is not for them.
NETWORKS: dict[str, Callable[[int, bool], nn.Module]] = {}

# Attention that is not a GLSA block: attn_type → build(backbone).
WRAPPERS: dict[str, Callable[[Backbone], nn.Module]] = {"none": lambda backbone: backbone}


def create_model(
    backbone_name: str,
    pretrained: bool = False,
    num_classes: int = 1000,
    attn_type: str = "CBAM",
    fusion_strategy: str = "original",
    residual_strategy: str = "original",
    num_heads: int = 8,
    dim_head: int | None = None,
) -> nn.Module:
    """A classifier, images [B, 3, H, W] → logits [B, num_classes].

    `attn_type="none"` is the bare backbone (Table 1). For GLSA with global attention only, build
    `GLSANet(backbone, GLSABlock(backbone.channels, attn_type="none"))` from `build_backbone(…)`.

    Args:
        backbone_name: a name in `BACKBONES` or `NETWORKS`.
        pretrained: start from the backbone's ImageNet weights.
        num_classes: number of logits.
        attn_type: the local attention of a GLSA block ("CBAM", "BAM", "scSE"), or a name in `WRAPPERS`.
        fusion_strategy, residual_strategy, num_heads, dim_head: of the GLSA block; see `GLSABlock`.

    Raises:
        WorkbookValueError: an unknown name (the nearest one is told), or a size that cannot be.
        WorkbookFileError: the pretrained weights cannot be had.
    """
    name = choose("backbone", backbone_name, [*BACKBONES, *NETWORKS])
    if name in NETWORKS:
        return NETWORKS[name](num_classes, pretrained)
    attn_type = choose("attn_type", attn_type, LOCAL_ATTENTION | WRAPPERS)
    backbone = build_backbone(name, num_classes, pretrained)
    if attn_type in WRAPPERS:
        return WRAPPERS[attn_type](backbone)
    block = GLSABlock(backbone.channels, num_heads, attn_type, fusion_strategy, residual_strategy, dim_head)
    return GLSANet(backbone, block)
