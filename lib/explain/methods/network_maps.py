"""What the workbook's networks show of themselves: selections, gates and agreement, as maps of the image.

None of them knows the class that is asked for: they tell where a network looked before it answered.
"""

from __future__ import annotations

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from lib.dcal import DCALNet
from lib.errors import unknown
from lib.explain.methods.vit_rollout import on_grid
from lib.gattanet import GAttANet
from lib.gattanet.agreement import MapAgreement
from lib.glsa import GLSANet
from lib.glsa.fusion import ChannelAttentionFusion, CrossAttentionFusion, OriginalFusion, WeightedAddFusion
from lib.glsa.local import NoAttention
from lib.lesa import LESANet
from lib.lesa.layer import LESA

UNGATED = (OriginalFusion, WeightedAddFusion, ChannelAttentionFusion, CrossAttentionFusion)


def has_glca(model: nn.Module) -> bool:
    return isinstance(model, DCALNet) and model.glca is not None


def has_local(model: nn.Module) -> bool:
    return isinstance(model, GLSANet) and not isinstance(model.block.local, NoAttention)


def has_fusion_gate(model: nn.Module) -> bool:
    return isinstance(model, GLSANet) and not isinstance(model.block.fusion, UNGATED)


def has_lesa(model: nn.Module) -> bool:
    return isinstance(model, LESANet) and isinstance(list(model.blocks.values())[-1], LESA)


def has_agreement(model: nn.Module) -> bool:
    return isinstance(model, GAttANet) and model.passes > 1 and bool(_map_layers(model))


@torch.no_grad()
def glca_selection(model: DCALNet, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w]: 1 at the patches that GLCA asks for."""
    model(images)
    return on_grid(model.glca.maps()["selected"], model.vit, images)


@torch.no_grad()
def glsa_global(model: GLSANet, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w]: the attention that a position gets, mean over heads and over the positions that pay it."""
    model(images)
    height = model.maps()["global"].shape[1]
    return rearrange(reduce(model.block.attention_matrix(), "b h i j -> b j", "mean"), "b (y x) -> b y x", y=height)


@torch.no_grad()
def glsa_local(model: GLSANet, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w]: how much the local attention (CBAM, BAM, scSE) lets a position through."""
    model(images)
    return _shown(model, "local_spatial")[:, 0]


@torch.no_grad()
def glsa_fusion(model: GLSANet, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w]: the fusion's gate, mean over channels, greatest where global features are preferred to local ones."""
    model(images)
    return _shown(model, "fusion_gate").mean(1)


@torch.no_grad()
def lesa_omega(model: LESANet, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w]: the gate ω of the last LESA layer, mean over channels, greatest where context is let in."""
    model(images)
    return model.maps()["gate"].mean(1)


@torch.no_grad()
def gatta_agreement(model: GAttANet, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w]: agreement with the global query in the last pass, in the last layer that has maps."""
    model(images)
    return model.maps()[f"agreement_{_map_layers(model)[-1]}"][:, -1]


def _shown(model: GLSANet, name: str) -> Tensor:
    """A map of the block, which a strategy of the user's own may not keep."""
    maps = model.maps()
    if name not in maps:
        raise unknown("map of the block", name, maps)
    return maps[name]


def _map_layers(model: GAttANet) -> list[str]:
    return [name for name, part in zip(model.layers, model.agreement, strict=True) if isinstance(part, MapAgreement)]
