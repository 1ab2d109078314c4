"""LESA, or plain self-attention, in the workbook's own backbones, where the paper has it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lib.backbones import Backbone, keep_resolution
from lib.lesa.layer import LESA, SelfAttention
from lib.lesa.model import LESANet, bottleneck, insert_lesa

if TYPE_CHECKING:
    from torchvision.models.resnet import ResNet


def paper_blocks(net: ResNet) -> dict[str, range]:
    """The paper's places in a bottleneck ResNet of any depth: `layer3` but its first block, and all of `layer4`."""
    return {"layer3": range(1, len(net.layer3)), "layer4": range(len(net.layer4))}


def classifier_with(
    layer: type[SelfAttention],
    backbone: Backbone,
    position: str = "classification",
    image_size: int | tuple[int, int] = (224, 224),
    groups: int = 8,
) -> LESANet:
    """A bottleneck ResNet of `lib.backbones` with `layer` in the paper's places; `layer4` keeps the resolution of `layer3`.

    Args:
        backbone: its weights stay, but for those of the 3×3 convolutions that are replaced.
        layer, position, image_size, groups: see `insert_lesa`.

    Raises:
        WorkbookValueError: not a bottleneck ResNet, an unknown position scheme, or what `LESA` raises.
    """
    bottleneck(backbone.net, "layer4", 0)  # a ResNet without bottlenecks is refused before it is changed
    net = keep_resolution(backbone.net)
    return LESANet(insert_lesa(net, paper_blocks(net), position, image_size, groups, layer))


lesa_classifier = partial(classifier_with, LESA)
self_attention_classifier = partial(classifier_with, SelfAttention)  # the context term alone: the paper's baseline
