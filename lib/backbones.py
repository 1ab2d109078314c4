"""Classifiers cut in two where attention goes in, before the last convolutional block.

ResNet: arXiv 1512.03385, cut after `layer3`. VGG: arXiv 1409.1556, cut after the fourth max-pool. Both cuts see 14×14
positions for a 224×224 image. The networks themselves are torchvision's, unchanged, so that its weights load as they
are; it is imported when the first of them is built, or any ResNet. The toy network is `lib.toynet`'s, for images of 32
pixels, of which its cut sees 8×8 positions. `resnet18_small` and `resnet26_small`, one with basic blocks and one with
bottlenecks, are for images of 40 to 64 pixels on a CPU, and `resnet14_patches` for mosaics of tiles: see `lib.narrow_resnets`.
"""

import torch
from torch import Tensor, nn

from lib.errors import WorkbookFileError, WorkbookValueError, choose, positive
from lib.toynet import ToyNet
from lib.weights.checkpoint_file import read_weights
from lib.weights.sources import url_file

MIN_SIZE = 32  # pixels; a ResNet's or VGG's five halvings leave one position


class Backbone(nn.Module):
    """A classifier `net` as two halves, `upper(lower(images))`, with `channels` feature maps between them."""

    channels: int
    head: str  # the name of the classifier's last layer in `net`

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @classmethod
    def untrained(cls, name: str, num_classes: int) -> nn.Module:
        """The network `name` that this class cuts: torchvision's."""
        from torchvision import models  # slow to import: it loads what `torch.compile` needs

        return models.get_model(name, weights=None, num_classes=num_classes)

    def lower(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, channels, h, w]"""
        raise NotImplementedError

    def upper(self, features: Tensor) -> Tensor:
        """[B, channels, h, w] → [B, num_classes]"""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, num_classes]"""
        return self.upper(self.lower(images))

    def count_parameters(self) -> dict[str, int]:
        total = sum(p.numel() for p in self.parameters())
        return {"total": total, "backbone": total}


class ResNetBackbone(Backbone):
    """Any of torchvision's ResNets, cut after `layer3`."""

    head = "fc"

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        self.channels = net.layer4[0].conv1.in_channels

    def lower(self, images: Tensor) -> Tensor:
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(checked(images)))))
        return net.layer3(net.layer2(net.layer1(x)))

    def upper(self, features: Tensor) -> Tensor:
        net = self.net
        return net.fc(net.avgpool(net.layer4(features)).flatten(1))


class NarrowResNet18Backbone(ResNetBackbone):
    """`NarrowResNet18`, cut after `layer3`: positions are 8 pixels apart there, 8×8 for a 64×64 image."""

    @classmethod
    def untrained(cls, name: str, num_classes: int) -> nn.Module:
        from lib.narrow_resnets import NarrowResNet18  # slow to import, as torchvision is

        return NarrowResNet18(num_classes)


class SmallResNetBackbone(ResNetBackbone):
    """A ResNet of two bottlenecks a stage, a quarter as wide as torchvision's, cut after `layer3`.

    Positions are 8 pixels apart from `layer2` on, since the last two stages have no stride: 8×8 for a 64×64 image.
    """

    @classmethod
    def untrained(cls, name: str, num_classes: int) -> nn.Module:
        from lib.narrow_resnets import small_resnet26  # slow to import, as torchvision is

        return keep_resolution(keep_resolution(small_resnet26(num_classes), "layer3"), "layer4")


class PatchResNetBackbone(ResNetBackbone):
    """A ResNet of one bottleneck a stage that looks at patches of 8×8 pixels, and beyond them in `layer4` alone.

    Its stem cuts the image as a ViT does and all other kernels are 1×1, so that what brings patches together is the 3×3
    convolution of `layer4` or what takes its place. The plain network sees windows of 3×3 patches, one by one, and sums up
    what it sees in them.
    """

    @classmethod
    def untrained(cls, name: str, num_classes: int) -> nn.Module:
        from lib.narrow_resnets import patch_resnet14  # slow to import, as torchvision is

        return patch_resnet14(num_classes)


def keep_resolution(net: nn.Module, stage: str = "layer4") -> nn.Module:
    """Take the stride out of a stage of a bottleneck ResNet, in place and without dilation."""
    block = getattr(net, stage)[0]
    block.conv2.stride = (1, 1)
    if block.downsample is not None:
        block.downsample[0].stride = (1, 1)
    block.stride = 1
    return net


class VGGBackbone(Backbone):
    """Any of torchvision's VGGs, cut after the fourth max-pool."""

    head = "classifier.6"

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        pools = [i for i, layer in enumerate(net.features) if isinstance(layer, nn.MaxPool2d)]
        self.cut = pools[3] + 1
        self.channels = net.features[self.cut].in_channels

    def lower(self, images: Tensor) -> Tensor:
        return self.net.features[: self.cut](checked(images))

    def upper(self, features: Tensor) -> Tensor:
        net = self.net
        return net.classifier(net.avgpool(net.features[self.cut :](features)).flatten(1))


class ToyNetBackbone(Backbone):
    """The toy network, cut after `conv2`."""

    head = "dense2"

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        self.channels = net.conv3[0].in_channels

    @classmethod
    def untrained(cls, name: str, num_classes: int) -> nn.Module:
        return ToyNet(num_classes)

    def lower(self, images: Tensor) -> Tensor:
        net = self.net
        return net.conv2(net.conv1(checked(images)))

    def upper(self, features: Tensor) -> Tensor:
        net = self.net
        return net.dense2(net.dense1(net.pool(net.conv3(features))))


# Name → where the network is cut. Another of torchvision's one is one line: BACKBONES["wide_resnet50_2"] = ResNetBackbone
BACKBONES: dict[str, type[Backbone]] = {
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), ResNetBackbone),
    "resnet18_small": NarrowResNet18Backbone,
    "resnet26_small": SmallResNetBackbone,
    "resnet14_patches": PatchResNetBackbone,
    **dict.fromkeys(("vgg11", "vgg13", "vgg16", "vgg19"), VGGBackbone),
    "toynet": ToyNetBackbone,
}


def checked(images: Tensor) -> Tensor:
    """`images` as they are, if a backbone can take them: [B, 3, H, W] with H and W of at least 32."""
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1] != 3:
        raise WorkbookValueError(f"A backbone takes images of shape [B, 3, H, W], not {list(shape)}.")
    if min(shape[2:]) < MIN_SIZE:
        raise WorkbookValueError(
            f"Images of {shape[2]}×{shape[3]} pixels are too small: a backbone halves them up to five times and "
            f"needs at least {MIN_SIZE}×{MIN_SIZE}. Resize them first."
        )
    return images


torch.fx.wrap("checked")  # a recorded forward calls it as it is, and does not look inside


def build_backbone(name: str, num_classes: int, pretrained: bool = False) -> Backbone:
    """A backbone by its name in `BACKBONES`.

    Pretrained weights are torchvision's default ones (ImageNet-1k). Their last layer is kept for 1000 classes and
    drawn anew for any other number.

    Raises:
        WorkbookValueError: the name is unknown, `num_classes` is not a positive whole number, or torchvision has no
            weights of that name.
        WorkbookFileError: the weights cannot be downloaded or read; the message says which file to put where.
    """
    name = choose("backbone", name, BACKBONES)
    positive(num_classes=num_classes)
    wrapper = BACKBONES[name]
    if not pretrained:
        return wrapper(wrapper.untrained(name, num_classes))
    from torchvision import models  # slow to import

    if name not in models.list_models():
        raise WorkbookValueError(f"There are no pretrained weights of {name}: build it with pretrained=False.")
    net = models.get_model(name, weights=None)
    load_default_weights(net, name)
    last = net.get_submodule(wrapper.head)
    if num_classes != last.out_features:
        net.set_submodule(wrapper.head, nn.Linear(last.in_features, num_classes))
    return wrapper(net)


def load_default_weights(net: nn.Module, name: str) -> None:
    """Fill `net` with torchvision's default weights for `name`, from PyTorch's folder of files or else from the network."""
    from torchvision import models  # slow to import

    file = url_file(models.get_model_weights(name).DEFAULT.url)
    try:
        net.load_state_dict(read_weights(file)[0])
    except (WorkbookFileError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise WorkbookFileError(
            f"{file} does not hold the weights of {name} ({reason}). Delete it; it will be downloaded again."
        ) from error
