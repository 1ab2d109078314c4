"""Every network of the workbook by name."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from lib.backbones import Backbone, build_backbone, known_backbone
from lib.errors import WorkbookValueError, choose, unknown
from lib.gattanet import gatta_backbone
from lib.glsa import FUSION_STRATEGIES, LOCAL_ATTENTION, RESIDUAL_STRATEGIES, WIDTHS, GLSABlock, GLSANet
from lib.lesa import LESANet, create_lesa, lesa_classifier, self_attention_classifier
from lib.lesa.checkpoint import in_our_names
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
    width: str = "full",
    weights: str = NO_WEIGHTS,
    partial_weights: bool = False,
    **options: Any,
) -> nn.Module:
    """A classifier, images [B, 3, H, W] → logits [B, num_classes].

    `attn_type="none"` is the bare backbone (Table 1). For GLSA with global attention only, build
    `GLSANet(backbone, GLSABlock(backbone.channels, attn_type="none"))` from `build_backbone(…)`.

    Args:
        backbone_name: a name in `BACKBONES` or `NETWORKS`, or that of any CNN of torchvision or timm.
        pretrained: start from the backbone's ImageNet weights.
        num_classes: number of logits.
        attn_type: the local attention of a GLSA block ("CBAM", "BAM", "scSE"), or a name in `WRAPPERS`.
        fusion_strategy, residual_strategy, num_heads, dim_head, width: of the GLSA block; see `GLSABlock`.
        weights: what to start from: a file, a run's folder, "hf-hub:owner/name", a URL, or the name of weights that ship
            (`python -m lib.weights` lists them); see `lib.weights.sources`. Weights of the whole network fill it, those of the
            backbone all of that but the layers that a wrapper replaces; a head of another size stays as drawn.
        partial_weights: take of weights what fits, and draw the rest.
        options: of what stands in `WRAPPERS`; for "gatta" `layers`, `dim`, `passes`, `norm`, `freeze` and `alpha_init`, see
            `lib.gattanet.GAttANet`; for "lesa" and "self_attention" `position`, `image_size` and `groups`, see
            `lib.lesa.lesa_classifier`.

    Raises:
        WorkbookValueError: an unknown name or option (the nearest one is told), a size that cannot be, or weights of another
            network.
        WorkbookFileError: weights cannot be had or are damaged; the message says which file to put where.
    """
    name = known_backbone(backbone_name, NETWORKS)
    one_start(pretrained, weights)
    attn_type = choose("attn_type", attn_type, LOCAL_ATTENTION | WRAPPERS)
    block = {  # chosen where there is no block, too: a name is right or wrong whatever stands beside it
        "fusion_strategy": choose("fusion_strategy", fusion_strategy, FUSION_STRATEGIES),
        "residual_strategy": choose("residual_strategy", residual_strategy, RESIDUAL_STRATEGIES),
        "width": choose("width", width, WIDTHS),
    }
    if name in NETWORKS:
        check_options(name, options, [])
        model = backbone = NETWORKS[name](num_classes, pretrained)
        bare = None
    else:
        backbone = build_backbone(name, num_classes, pretrained)
        bare = backbone.net.state_dict().keys()  # before a wrapper replaces some of its layers
        model = with_attention(backbone, attn_type, options, num_heads, dim_head=dim_head, **block)
    if weights != NO_WEIGHTS:
        net, fitted = getattr(backbone, "net", model), in_our_names if isinstance(model, LESANet) else None
        heads = [net.get_submodule(backbone.head)] if isinstance(backbone, Backbone) else []
        start_from(weights, model, net, name, heads, bare, fitted, partial_weights)
    return model


def with_attention(
    backbone: Backbone, attn_type: str, options: dict[str, Any], num_heads: int, **block_options: Any
) -> nn.Module:
    """`backbone` in one of `WRAPPERS`, which takes `options`, or with a GLSA block where it is cut."""
    if attn_type in WRAPPERS:
        check_options(attn_type, options, [*inspect.signature(WRAPPERS[attn_type]).parameters][1:])
        return WRAPPERS[attn_type](backbone, **options)
    check_options(attn_type, options, ["fusion_strategy", "residual_strategy", "num_heads", "dim_head", "width"])
    return GLSANet(backbone, GLSABlock(backbone.channels, num_heads, attn_type, **block_options))


def check_options(name: str, options: dict[str, Any], known: list[str]) -> None:
    """Raise a WorkbookValueError for the first of `options` that `name` does not take."""
    for option in options:
        if not known:
            raise WorkbookValueError(f"{name} takes no further options: leave out {option}={options[option]!r}.")
        if option not in known:
            raise unknown(f"option of {name}", option, known)
