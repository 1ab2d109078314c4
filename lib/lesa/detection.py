"""LESA under torchvision's detectors: a bottleneck ResNet with LESA and a feature pyramid (arXiv 2107.05637, COCO).

    backbone = lesa_backbone("resnet50", pretrained=True)
    model = torchvision.models.detection.MaskRCNN(backbone, num_classes=91)

Images of any size: the tables of `detection_qr` are resampled to each. As in the official Mask R-CNN, LESA stands in the
same blocks as in the classifiers, here with `layer4` at stride 2, and its tables are made for 1024×1024 pixels. Known
deviation: that detector's remaining convolutions are deformable from `layer2` on, these are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lib.backbones import load_default_weights
from lib.errors import choose, positive
from lib.lesa.model import PAPER_BLOCKS, STAGES, insert_lesa

if TYPE_CHECKING:
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.resnet import ResNet

BOTTLENECKS = ("resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2")


def lesa_backbone(
    name: str = "resnet50",
    pretrained: bool = False,
    blocks: Mapping[str, Iterable[int]] = PAPER_BLOCKS,
    position: str = "detection_qr",
    image_size: int | tuple[int, int] = (1024, 1024),
    out_channels: int = 256,
) -> BackboneWithFPN:
    """A backbone for `torchvision.models.detection`, images [B, 3, H, W] → five maps [B, out_channels, …], strides 4 to 64.

    Args:
        name: a name in `BOTTLENECKS`.
        pretrained: start from torchvision's ImageNet weights; the LESA layers themselves start at random.
        blocks, position: see `insert_lesa`.
        image_size: a side, or height and width, in pixels that the position tables are made for.
        out_channels: of every map of the pyramid.

    Raises:
        WorkbookValueError: an unknown name, stage, block or scheme, or a size that is not a positive whole number.
        WorkbookFileError: the pretrained weights cannot be had.
    """
    from torchvision import models  # slow to import

    positive(out_channels=out_channels)
    name = choose("ResNet with bottlenecks", name, BOTTLENECKS)
    net = models.get_model(name, weights=None)
    if pretrained:
        load_default_weights(net, name)
    return with_pyramid(insert_lesa(net, blocks, position, image_size), out_channels)


def with_pyramid(net: ResNet, out_channels: int = 256) -> BackboneWithFPN:
    """A bottleneck ResNet under a feature pyramid; `load_official(file).net` is one, with both last stages at stride 16."""
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

    channels = [getattr(net, stage)[-1].conv3.out_channels for stage in STAGES]
    levels = {stage: str(number) for number, stage in enumerate(STAGES)}
    return BackboneWithFPN(net, levels, channels, out_channels, LastLevelMaxPool())
