"""Building a DCAL network by its backbone's name, with or without pretrained weights."""

import math
from functools import partial

import timm
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from lib.dcal.glca import GlobalLocalCrossAttention
from lib.dcal.model import DCALNet
from lib.dcal.vit import attentions
from lib.errors import WorkbookFileError, WorkbookValueError, nearest, positive
from lib.weights import NO_WEIGHTS, one_start, start_from
from lib.weights.sources import timm_start, weights_file


def create_dcal_model(
    backbone_name: str,
    num_classes: int,
    top_ratio: float = 0.1,
    pretrained: bool = False,
    img_size: int | tuple[int, int] | None = None,
    drop_path_rate: float = 0.0,
    glca: bool = True,
    pwca: bool = True,
    selection: str = "rollout",
    glca_input: str = "output",
    glca_readout: str = "class",
    weights: str = NO_WEIGHTS,
    partial_weights: bool = False,
    **vit_options: object,
) -> DCALNet:
    """DCAL on one of timm's ViTs, DeiTs or Evas with a class token: DINOv2 and DINOv3, CLIP, DeiT III, EVA-02.

    Args:
        backbone_name: timm's name, such as "deit_tiny_patch16_224"; distilled ones and ones with registers, too.
        num_classes: number of logits of each branch.
        top_ratio: share of the patches that GLCA selects: 0.1 for fine-grained recognition, 0.3 for Re-ID.
        pretrained: start from timm's weights. Heads for another number of classes, and GLCA, are drawn anew.
        img_size: pixels, a side or (height, width), that the position embeddings are made for; the backbone's own where
            left out. Images of other sizes are taken as well, with position embeddings interpolated at every forward.
        drop_path_rate: stochastic depth of the last block; it grows linearly from 0 at the first.
        glca, pwca: the branches; with neither, the network is the bare ViT.
        selection, glca_input, glca_readout: see `DCALNet`.
        weights: what to start from: a file, a run's folder, "hf-hub:owner/name", a URL, or the name of weights that ship
            (`python -m lib.weights` lists them); see `lib.weights.sources`. Weights of a whole DCAL network fill it, those of
            a ViT all of it but a head of another size; GLCA is drawn. Position embeddings of another image size and patches
            of another size are interpolated, once.
        partial_weights: take of weights what fits, and draw the rest.
        **vit_options: further arguments of `timm.create_model`.

    Raises:
        WorkbookValueError: a backbone that timm does not know or that has no class token, a name that is unknown, a
            size or ratio that cannot be, or weights of another network.
        WorkbookFileError: the weights cannot be had; the message says what to do.
    """
    positive(num_classes=num_classes)
    one_start(pretrained, weights)
    if not (isinstance(drop_path_rate, int | float) and 0 <= drop_path_rate < 1):
        raise WorkbookValueError(f"drop_path_rate must be at least 0 and below 1, not {drop_path_rate!r}.")
    if img_size is not None:
        vit_options["img_size"] = img_size
    vit = build_vit(backbone_name, pretrained, num_classes=num_classes, drop_path_rate=drop_path_rate, **vit_options)
    heads = attentions(vit)[0].num_heads
    local = GlobalLocalCrossAttention(vit.embed_dim, heads, top_ratio, drop_path=drop_path_rate) if glca else None
    model = DCALNet(vit, local, pwca, selection, glca_input, glca_readout)
    start_from(weights, model, vit, backbone_name, model.heads, None, partial(_at_grid, vit=vit), partial_weights)
    return model


def _at_grid(tensors: dict[str, Tensor], size: tuple[int, int] | None, vit: VisionTransformer) -> dict[str, Tensor]:
    """`tensors`, trained with images of `size`, with position embeddings [1, tokens, D] for the grid of `vit`: what timm
    takes for the table of a square image may be that of another one."""
    table = tensors.get("pos_embed")
    if size is None or table is None or table.shape == vit.pos_embed.shape:
        return tensors
    prefix = 0 if vit.no_embed_class else vit.num_prefix_tokens
    height, width = size
    rows = round(math.sqrt((table.shape[1] - prefix) * height / width))
    grid = rows, (table.shape[1] - prefix) // rows
    return tensors | {"pos_embed": resample_abs_pos_embed(table, vit.patch_embed.grid_size, grid, prefix)}


def build_vit(name: str, pretrained: bool, **options: object) -> VisionTransformer:
    """timm's ViT `name`, read at its class token, for images of any size.

    Raises:
        WorkbookValueError, WorkbookFileError: see `create_dcal_model`.
    """
    if not (isinstance(name, str) and timm.is_model(name)):
        guess = nearest(str(name), timm.list_models(module="vision_transformer") + timm.list_models(module="deit"))
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise WorkbookValueError(
            f"timm knows no model {name!r}.{hint} timm.list_models('*vit*') and '*deit*' list them."
        )
    options = {"global_pool": "token", "dynamic_img_size": True, **options}
    if pretrained and "pretrained_cfg_overlay" not in options and (start := timm_start(name)):
        options["pretrained_cfg_overlay"] = {"file": str(weights_file(start))}
    try:
        return timm.create_model(name, pretrained, **options)
    except Exception as error:  # a download or a broken file can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        if pretrained and not isinstance(error, TypeError | AssertionError):
            raise WorkbookFileError(_no_weights(name, reason)) from error
        given = ", ".join(f"{option}={value!r}" for option, value in options.items())
        raise WorkbookValueError(
            f"timm cannot build {name!r} with {given} ({reason}). Check these options; the backbone must be a ViT or DeiT "
            "with a class token, such as 'deit_tiny_patch16_224'."
        ) from error


def _no_weights(name: str, reason: str) -> str:
    config = timm.get_pretrained_cfg(name)
    source = config.url or f"https://huggingface.co/{config.hf_hub_id}"
    return (
        f"The pretrained weights of {name} could not be had ({reason}). On a machine with network access download them "
        f"from {source} and give the file, weights=PATH, or build the model with pretrained=False."
    )
