"""GAttANet on the workbook's own backbones, with layers that suit them."""

from collections.abc import Sequence

from torch import nn

from lib.backbones import Backbone, StagedBackbone, ToyNetBackbone, VGGBackbone
from lib.gattanet.model import GAttANet

INPUT_SIZE = (3, 64, 64)  # to find the layers' shapes; backbones that are cut by hand take it, and it is soon done


def default_layers(backbone: Backbone) -> tuple[str, ...]:
    """The last three stages of maps: of a ResNet `layer2` to `layer4`, of a VGG the last three max-pools, of the toy
    network its convolutional layers; and the hidden dense layers, where there are any. Not the logits."""
    if isinstance(backbone, ToyNetBackbone):
        return ("net.conv1", "net.conv2", "net.conv3", "net.dense1")
    if isinstance(backbone, VGGBackbone):
        pools = [i for i, layer in enumerate(backbone.net.features) if isinstance(layer, nn.MaxPool2d)]
        return (*(f"net.features.{i}" for i in pools[-3:]), "net.classifier.1", "net.classifier.4")
    if isinstance(backbone, StagedBackbone):
        return tuple(f"net.{end}" for end in backbone.ends[-3:])
    return ("net.layer2", "net.layer3", "net.layer4")


def gatta_backbone(
    backbone: Backbone,
    layers: Sequence[str] | None = None,
    dim: int = 64,
    passes: int = 2,
    norm: str | None = None,
    freeze: bool = False,
    alpha_init: float = 0.0,
) -> GAttANet:
    """`GAttANet` on one of `lib.backbones`; `layers` None are `default_layers`, else named as the network itself names them
    (`layer3`) or as the backbone does that holds it (`net.layer3`)."""
    names = {name for name, _ in backbone.named_modules()}
    own = [name if name in names else f"net.{name}" for name in layers or ()]
    size = None if isinstance(backbone, StagedBackbone) else INPUT_SIZE
    return GAttANet(backbone, own or default_layers(backbone), dim, passes, norm, freeze, size, alpha_init)
