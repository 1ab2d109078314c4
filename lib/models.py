"""Every network of the workbook by name."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from lib.backbones import BACKBONES, build_backbone
from lib.errors import WorkbookValueError, choose, unknown
from lib.gattanet import gatta_backbone
from lib.glsa import LOCAL_ATTENTION, GLSABlock, GLSANet
from lib.lesa import create_lesa, lesa_classifier, self_attention_classifier
from lib.weights import NO_WEIGHTS, one_start, start_from

# Networks that bring their own attention: name → build(num_classes, pretrained). `attn_type` is not for them.
NETWORKS: dict[str, Callable[[int, bool], nn.Module]] = {
    "lesa_resnet50": partial(create_lesa, "lesa_resnet50"),
    "lesa_wrn50": partial(create_lesa, "lesa_wrn50"),
}

# Attention that is not a GLSA block: attn_type → build(backbone, **options).
WRAPPERS: dict[str, Callable[..., nn.Module]] = {
    "none": lambda backbone: backbone,
    "gatta": gatta_backbone,
    "lesa": lesa_classifier,
    "self_attention": self_attention_classifier,
}


def create_model(
    backbone_name: str,
    pretrained: bool = False,
    num_classes: int = 1000,
    attn_type: str = "CBAM",
    fusion_strategy: str = "original",
    residual_strategy: str = "original",
    num_heads: int = 8,
    dim_head: int | None = None,
    weights: str = NO_WEIGHTS,
    **options: Any,
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
        weights: the name of starting weights that ship with the workbook (`python -m lib.weights` lists them), for all of
            the backbone but its head and the layers that a wrapper replaces; "none" draws everything.
        options: of what stands in `WRAPPERS`; for "gatta" `layers`, `dim`, `passes`, `norm`, `freeze` and `alpha_init`, see
            `lib.gattanet.GAttANet`; for "lesa" and "self_attention" `position`, `image_size` and `groups`, see
            `lib.lesa.lesa_classifier`.

    Raises:
        WorkbookValueError: an unknown name or option (the nearest one is told), a size that cannot be, or weights of another
            network.
        WorkbookFileError: the pretrained weights cannot be had, or those that ship are damaged.
    """
    name = choose("backbone", backbone_name, [*BACKBONES, *NETWORKS])
    one_start(pretrained, weights)
    if name in NETWORKS:
        check_options(name, options, [])
        network = NETWORKS[name](num_classes, pretrained)
        start_from(weights, network, name)
        return network
    attn_type = choose("attn_type", attn_type, LOCAL_ATTENTION | WRAPPERS)
    backbone = build_backbone(name, num_classes, pretrained)
    start_from(weights, backbone.net, name)
    if attn_type in WRAPPERS:
        check_options(attn_type, options, [*inspect.signature(WRAPPERS[attn_type]).parameters][1:])
        return WRAPPERS[attn_type](backbone, **options)
    check_options(attn_type, options, ["fusion_strategy", "residual_strategy", "num_heads", "dim_head"])
    block = GLSABlock(backbone.channels, num_heads, attn_type, fusion_strategy, residual_strategy, dim_head)
    return GLSANet(backbone, block)


def check_options(name: str, options: dict[str, Any], known: list[str]) -> None:
    """Raise a WorkbookValueError for the first of `options` that `name` does not take."""
    for option in options:
        if not known:
            raise WorkbookValueError(f"{name} takes no further options: leave out {option}={options[option]!r}.")
        if option not in known:
            raise unknown(f"option of {name}", option, known)
