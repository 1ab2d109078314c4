"""The maps that the workbook's networks have of their own, gathered for the explorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from lib.data.augmentation import centre_view
from lib.errors import WorkbookValueError
from lib.explain.methods.eval_guards import evaluating
from lib.explain.methods.explain import told_of_size
from lib.explain.views.explorer import CAPTION, explore
from lib.explain.views.packing import checked_images
from lib.explain.views.view import View
from lib.gattanet import GAttANet
from lib.glsa import GLSANet
from lib.glsa.attention import attention
from lib.lesa import LESANet
from lib.lesa.context import weights
from lib.training.inference import network_input

Kinds = dict[str, dict[str, Tensor]]  # kind → layer → [B, h, w], [B, heads, h, w] or [B, heads, rows, columns, h, w]


def explorer_of(
    models: Mapping[str, nn.Module],
    pixels: np.ndarray,
    augmentation: str = "none",
    names: Sequence[str] | None = None,
    caption: str = CAPTION,
    phantom: bool = False,
) -> View:
    """`explore` with all that networks show of `pixels`, uint8 [N, H, W, 3], in eval mode; their own modes stay.

    `augmentation` is the one that the networks were trained with (`lib.training.inference.augmentation_of`); the others
    are `explore`'s. Four images are plenty. They are shown to the networks as they are: give them at the size of training,
    since attention of every position grows with the fourth power of a side.

    Raises:
        WorkbookValueError: the pixels are no images, or a network has no maps of its own.
    """
    pixels = np.array(checked_images(pixels))  # may be written, as torch wants it
    seen = centre_view(rearrange(torch.from_numpy(pixels), "b y x c -> b c y x"), augmentation)
    found = {}
    for name, model in models.items():
        like = next(model.parameters(), torch.zeros(()))
        kinds = explorer_maps(model, network_input(model, pixels, augmentation, like.device).to(like.dtype))
        found[name] = {
            kind: {layer: m.float().cpu().numpy() for layer, m in layers.items()} for kind, layers in kinds.items()
        }
    return explore(rearrange(seen, "b c y x -> b y x c").numpy(), found, names, caption, phantom)


@torch.no_grad()
def explorer_maps(model: nn.Module, images: Tensor) -> Kinds:
    """What `model` shows of `images` [B, 3, H, W], normalised, by kind and layer; attention is that of every position.

    Raises:
        WorkbookValueError: it shows nothing: only GLSA, DCAL, LESA and GAttANet do; or it takes no images of this size.
    """
    gather = next((each for kind, each in GATHER.items() if isinstance(model, kind)), None)
    gather = _of_dcal if gather is None and hasattr(model, "vit") else gather
    if gather is None:
        raise WorkbookValueError(
            f"{type(model).__name__} has no maps of its own: compute some with lib.explain.explain and give them to "
            "explore, or take a GLSA, DCAL, LESA or GAttANet network."
        )
    with evaluating(model), told_of_size(model, images):
        model(images)
        return gather(model, images)


def _of_glsa(model: GLSANet, images: Tensor) -> Kinds:
    maps, fusion = model.maps(), model.block.fusion
    height = maps["global"].shape[1]
    found: Kinds = {"global attention": {"": _pairs(model.block.attention_matrix(), height)}}
    if "fusion_attention" in maps:
        q = rearrange(fusion.kept["q"], "b h y x d -> b h (y x) d")
        found["fusion attention"] = {"": _pairs(attention(q, fusion.kept["k"]), height)}
    for name, each in maps.items():
        if each.ndim in (3, 4) and min(each.shape[-2:]) > 1 and "attention" not in name and "global" not in name:
            found[name.replace("_", " ")] = {"": each.mean(1) if each.ndim == 4 else each}
    return found


def _of_dcal(model: nn.Module, images: Tensor) -> Kinds:
    from lib.dcal.hook import AttentionRolloutHook  # timm takes two seconds to import

    with AttentionRolloutHook(model.vit) as hook:
        maps = model.maps()  # for which the network runs once more
    layers, first, height = hook.layers, hook.prefix, maps["rollout"].shape[1]
    found: Kinds = {}
    for n in range(1, len(layers) + 1):
        rolled = hook.rollout.matrix(layers[:n])[:, None, :, first:]
        heads = attention(*layers[n - 1])[..., first:]
        rows = {"rollout": rolled, "attention": heads}
        for name, each in rows.items():
            of_class = rearrange(each[:, :, 0], "b h (y x) -> b h y x", y=height)
            found.setdefault(f"{name} of the class token", {})[f"layer {n}"] = of_class
            found.setdefault(f"{name} of a patch", {})[f"layer {n}"] = _pairs(each[:, :, first:], height)
    glca = {name: each for name, each in maps.items() if name.startswith("glca_")}
    return found | {name.replace("glca_", "GLCA, "): {"": each} for name, each in glca.items()}


def _of_lesa(model: LESANet, images: Tensor) -> Kinds:
    found: Kinds = {}
    for name, layer in model.blocks.items():
        kept = dict(layer.context.kept)
        height, width = kept.pop("size").tolist()
        pairs = weights(kept, layer.context.position(height, width))
        heads = rearrange(pairs, "(b g) m n -> b g m n", b=len(images))
        found.setdefault("context attention", {})[name] = _pairs(heads, height)
        for each, m in layer.maps().items():
            if each.split("_heads")[0] != "context":
                found.setdefault(each.replace("_", " "), {})[name] = m.mean(1)
    return found


def _of_gattanet(model: GAttANet, images: Tensor) -> Kinds:
    layers = {
        f"{name.removeprefix('agreement_')}, pass {n}": m
        for name, each in model.maps().items()
        if name.startswith("agreement_") and each.ndim == 4
        for n, m in enumerate(each.unbind(1), 2)
    }
    if not layers:
        raise WorkbookValueError("This GAttANet has no map: take at least 2 passes, and a layer that is not a vector.")
    return {"agreement": layers}


def _pairs(matrix: Tensor, height: int) -> Tensor:
    """[B, h, N, N] → [B, h, H, W, H, W]"""
    return rearrange(matrix, "b h (r c) (y x) -> b h r c y x", r=height, y=height)


GATHER = {GLSANet: _of_glsa, LESANet: _of_lesa, GAttANet: _of_gattanet}
