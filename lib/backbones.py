"""Classifiers cut in two where attention goes in, before the last convolutional block.

ResNet: arXiv 1512.03385, cut after `layer3`. VGG: arXiv 1409.1556, cut after the fourth max-pool. Both cuts see 14×14
positions for a 224×224 image. The networks themselves are torchvision's, unchanged, so that its weights load as they
are; it is imported when the first of them is built, or any ResNet. The toy network is `lib.toynet`'s, for images of 32
pixels, of which its cut sees 8×8 positions. `resnet18_small` and `resnet26_small`, one with basic blocks and one with
bottlenecks, are for images of 40 to 64 pixels on a CPU, and `resnet14_patches` for mosaics of tiles: see `lib.cnn.narrow_resnets`.
"""

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lib.cnn.stages import stages_of
from lib.errors import WorkbookFileError, WorkbookValueError, choose, positive
from lib.toynet import ToyNet
from lib.weights.checkpoint_file import read_weights
from lib.weights.sources import timm_start, url_file, weights_file

DENSE = re.compile(
    r"(denselayer\d+\.(?:norm|conv))\.(\d)"
)  # names in torchvision's files of DenseNets, older than its names
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
        """{'total', 'backbone'}: the same number, for there is no attention beside the backbone."""
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
        """The only network that this class cuts, drawn; `name` chooses nothing."""
        from lib.cnn.narrow_resnets import NarrowResNet18  # slow to import, as torchvision is

        return NarrowResNet18(num_classes)


class SmallResNetBackbone(ResNetBackbone):
    """A ResNet of two bottlenecks a stage, a quarter as wide as torchvision's, cut after `layer3`.

    Positions are 8 pixels apart from `layer2` on, since the last two stages have no stride: 8×8 for a 64×64 image.
    """

    @classmethod
    def untrained(cls, name: str, num_classes: int) -> nn.Module:
        """The only network that this class cuts, drawn; `name` chooses nothing."""
        from lib.cnn.narrow_resnets import small_resnet26  # slow to import, as torchvision is

        return keep_resolution(keep_resolution(small_resnet26(num_classes), "layer3"), "layer4")


class PatchResNetBackbone(ResNetBackbone):
    """A ResNet of one bottleneck a stage that looks at patches of 8×8 pixels, and beyond them in `layer4` alone.

    Its stem cuts the image as a ViT does and all other kernels are 1×1, so that what brings patches together is the 3×3
    convolution of `layer4` or what takes its place. The plain network sees windows of 3×3 patches, one by one, and sums up
    what it sees in them.
    """

    @classmethod
    def untrained(cls, name: str, num_classes: int) -> nn.Module:
        """The only network that this class cuts, drawn; `name` chooses nothing."""
        from lib.cnn.narrow_resnets import patch_resnet14  # slow to import, as torchvision is

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
        """A `ToyNet` of three channels, drawn; `name` chooses nothing."""
        return ToyNet(num_classes)

    def lower(self, images: Tensor) -> Tensor:
        net = self.net
        return net.conv2(net.conv1(checked(images)))

    def upper(self, features: Tensor) -> Tensor:
        net = self.net
        return net.dense2(net.dense1(net.pool(net.conv3(features))))


class StagedBackbone(Backbone):
    """Any network of torchvision's or timm's whose stages hand on one map, cut before its last one: see `lib.cnn.stages`."""

    def __init__(self, net: nn.Module, name: str) -> None:
        super().__init__(net)
        self.name = name
        self.head = head_of(net)
        self._stages = stages_of(net, name)
        self.channels = self._stages.channels

    @property
    def pretrained_cfg(self) -> dict:
        """What timm says of its network, such as the size of its images; nothing of torchvision's."""
        return getattr(self.net, "pretrained_cfg", None) or {}

    @property
    def ends(self) -> tuple[str, ...]:
        """The modules of `net` with which its stages end."""
        return self._stages.ends

    def lower(self, images: Tensor) -> Tensor:
        return self._stages.lower[self.net.training](self.net, checked(images))

    def upper(self, features: Tensor) -> Tensor:
        return self._stages.upper[self.net.training](self.net, features)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, num_classes], by the network's own forward, uncut."""
        return self.net(checked(images))

    def __getstate__(self) -> dict:
        return {**super().__getstate__(), "_stages": None}  # code that was made here cannot be pickled

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self._stages = stages_of(self.net, self.name)


def head_of(net: nn.Module) -> str:
    """The name of a classifier's last layer."""
    named = (getattr(net, "pretrained_cfg", None) or {}).get("classifier")
    layers = [name for name, layer in net.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    return named if isinstance(named, str) else layers[-1]


# Name → where the network is cut, by hand; others of torchvision and timm are cut by `lib.cnn.stages`. Another of torchvision's one is one line: BACKBONES["wide_resnet50_2"] = ResNetBackbone
BACKBONES: dict[str, type[Backbone]] = {
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), ResNetBackbone),
    "resnet18_small": NarrowResNet18Backbone,
    "resnet26_small": SmallResNetBackbone,
    "resnet14_patches": PatchResNetBackbone,
    **dict.fromkeys(("vgg11", "vgg13", "vgg16", "vgg19"), VGGBackbone),
    "toynet": ToyNetBackbone,
}


def checked(images: Tensor) -> Tensor:
    """`images` as they are, if a backbone can take them.

    Raises:
        WorkbookValueError: they are not [B, 3, H, W] with H and W of at least 32.
    """
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


def known_backbone(name: str, others: Iterable[str] = ()) -> str:
    """The name of a backbone: one of `BACKBONES` or `others`, or else of torchvision, or of timm.

    A name that both libraries have is torchvision's; with a tag, as in "resnet18.a1_in1k", it is timm's.

    Raises:
        WorkbookValueError: nobody knows it; the nearest name is told.
    """
    try:
        return choose("backbone", name, [*BACKBONES, *others])
    except WorkbookValueError as error:
        if isinstance(name, str) and (_of_torchvision(name) or _of_timm(name)):
            return name
        raise WorkbookValueError(f"{error} Or any CNN of torchvision or timm by its name there.") from None


def has_pretrained(name: str) -> bool:
    """Whether torchvision or timm have weights of a backbone; the workbook's own small ones have none. Names that are not in
    `BACKBONES` are taken to have some: looking costs seconds."""
    wrapper = {known.casefold(): wrapper for known, wrapper in BACKBONES.items()}.get(str(name).casefold())
    return wrapper is None or wrapper.untrained.__func__ is Backbone.untrained.__func__


def _of_torchvision(name: str) -> bool:
    from torchvision import models  # slow to import

    return name in models.list_models(module=models)


def _of_timm(name: str) -> bool:
    import timm  # takes two seconds

    return timm.is_model(name)


def build_backbone(name: str, num_classes: int, pretrained: bool = False) -> Backbone:
    """A backbone by its name: see `known_backbone`.

    Pretrained weights are the default ones of torchvision or timm (ImageNet). Their last layer is kept for as many classes
    and drawn anew for any other number.

    Raises:
        WorkbookValueError: the name is unknown, `num_classes` is not a positive whole number, there are no weights of that
            name, or the network cannot be cut.
        WorkbookFileError: the weights cannot be downloaded or read; the message says which file to put where.
    """
    name = known_backbone(name)
    positive(num_classes=num_classes)
    if name in BACKBONES:
        wrapper = BACKBONES[name]
        return wrapper(_from_torchvision(name, num_classes) if pretrained else wrapper.untrained(name, num_classes))
    if not _of_torchvision(name):
        return StagedBackbone(build_timm(name, pretrained, num_classes=num_classes), name)
    from torchvision.models import VGG, ResNet

    net = _from_torchvision(name, num_classes) if pretrained else _drawn(name, num_classes)
    by_hand = ResNetBackbone if isinstance(net, ResNet) else VGGBackbone if isinstance(net, VGG) else None
    return by_hand(net) if by_hand else StagedBackbone(net, name)


def _from_torchvision(name: str, num_classes: int) -> nn.Module:
    """Torchvision's network with its default weights."""
    if not _of_torchvision(name):
        raise WorkbookValueError(f"There are no pretrained weights of {name}: build it with pretrained=False.")
    net = _drawn(name, 1000)
    load_default_weights(net, name)
    last = net.get_submodule(head := head_of(net))
    if num_classes != 1000:
        is_map = isinstance(last, nn.Conv2d)
        net.set_submodule(
            head, nn.Conv2d(last.in_channels, num_classes, 1) if is_map else nn.Linear(last.in_features, num_classes)
        )
    return net


def _drawn(name: str, num_classes: int) -> nn.Module:
    """Torchvision's network, drawn: without the second heads that two of its networks have in training."""
    from torchvision import models

    options = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    try:
        return models.get_model(name, weights=None, num_classes=num_classes, **options)
    except NotImplementedError:  # a RegNet computes its widths with tensors, which on the `meta` device have no values
        numbers = torch.get_rng_state()
        with torch.device("cpu"):
            net = models.get_model(name, weights=None, num_classes=num_classes)
        torch.set_rng_state(numbers)
        return net.to("meta")


def build_timm(name: str, pretrained: bool, **options: object) -> nn.Module:
    """timm's network `name`.

    Raises:
        WorkbookValueError: timm cannot build it so.
        WorkbookFileError: its weights cannot be had.
    """
    import timm  # takes two seconds

    overlay = (
        {"pretrained_cfg_overlay": {"file": str(weights_file(start))}}
        if pretrained and (start := timm_start(name))
        else {}
    )
    try:
        return timm.create_model(name, pretrained, **overlay | options)
    except Exception as error:  # a broken file can raise anything, and options go to networks of a thousand kinds
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        given = ", ".join(f"{option}={value!r}" for option, value in options.items())
        raise WorkbookValueError(f"timm cannot build {name!r} with {given} ({reason}). Check these options.") from error


def load_default_weights(net: nn.Module, name: str) -> None:
    """Fill `net` with torchvision's default weights for `name`, from PyTorch's folder of files or else from the network."""
    from torchvision import models  # slow to import

    file = url_file(models.get_model_weights(name).DEFAULT.url)
    try:
        tensors = {DENSE.sub(r"\1\2", key): tensor for key, tensor in read_weights(file)[0].items()}
        second_heads = {key for key in tensors if key.startswith(("aux1.", "aux2.", "AuxLogits."))}
        net.load_state_dict({key: tensor for key, tensor in tensors.items() if key not in second_heads})
    except (WorkbookFileError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise WorkbookFileError(
            f"{file} does not hold the weights of {name} ({reason}). Delete it; it will be downloaded again."
        ) from error
