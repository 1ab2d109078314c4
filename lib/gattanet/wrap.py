"""GAttANet on the workbook's own backbones, with layers that suit them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lib.backbones import Backbone
from lib.gattanet.model import GAttANet

INPUT_SIZE = (3, 64, 64)  # to find the layers' shapes; any backbone takes it, and it is soon done


def default_layers(backbone: Backbone) -> tuple[str, ...]:
    """The last three stages of maps: of a ResNet `layer2` to `layer4`, of a VGG the last three max-pools; and a VGG's
    two hidden dense layers. Not the logits."""
    features = getattr(backbone.net, "features", None)
    if features is None:
        return ("net.layer2", "net.layer3", "net.layer4")
    pools = [i for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    return (*(f"net.features.{i}" for i in pools[-3:]), "net.classifier.1", "net.classifier.4")


def gatta_backbone(
    backbone: Backbone,
    layers: Sequence[str] | None = None,
    dim: int = 64,
    passes: int = 2,
    norm: str | None = None,
    freeze: bool = False,
) -> GAttANet:
    """`GAttANet` on one of `lib.backbones`; `layers` None are `default_layers`."""
    layers = default_layers(backbone) if layers is None else layers
    return GAttANet(backbone, layers, dim, passes, norm, freeze, INPUT_SIZE)
