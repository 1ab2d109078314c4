"""LESA, or plain self-attention, in the workbook's own backbones, where the paper has it."""

from __future__ import annotations

from torchvision.models.resnet import ResNet

from lib.backbones import Backbone, keep_resolution
from lib.lesa.layer import LESA, SelfAttention
from lib.lesa.model import LESANet, bottleneck, insert_lesa


def paper_blocks(net: ResNet) -> dict[str, range]:
    """The paper's places in a bottleneck ResNet of any depth: `layer3` but its first block, and all of `layer4`."""
    return {"layer3": range(1, len(net.layer3)), "layer4": range(len(net.layer4))}


def lesa_classifier(
    backbone: Backbone,
    position: str = "classification",
    image_size: tuple[int, int] = (224, 224),
    groups: int = 8,
) -> LESANet:
    """A bottleneck ResNet of `lib.backbones` with LESA; `layer4` keeps the resolution of `layer3`.

    Args:
        backbone: its weights stay, but for those of the 3×3 convolutions that are replaced.
        position, image_size, groups: see `insert_lesa`.

    Raises:
        WorkbookValueError: not a bottleneck ResNet, an unknown position scheme, or what `LESA` raises.
    """
    return _with(LESA, backbone, position, image_size, groups)


def self_attention_classifier(
    backbone: Backbone,
    position: str = "classification",
    image_size: tuple[int, int] = (224, 224),
    groups: int = 8,
) -> LESANet:
    """As `lesa_classifier`, with LESA's context term alone in the same places: the paper's self-attention baseline."""
    return _with(SelfAttention, backbone, position, image_size, groups)


def _with(
    layer: type[SelfAttention], backbone: Backbone, position: str, image_size: tuple[int, int], groups: int
) -> LESANet:
    bottleneck(backbone.net, "layer4", 0)  # a ResNet without bottlenecks is told before it is changed
    net = keep_resolution(backbone.net)
    return LESANet(insert_lesa(net, paper_blocks(net), position, image_size, groups, layer))
