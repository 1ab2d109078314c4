"""ResNets that are built of torchvision's blocks and are narrower than its own: what `lib.backbones` cuts for small images."""

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet


class NarrowResNet18(nn.Module):
    """ResNet18 at a quarter of its width, with a `layer3` that keeps the resolution of `layer2`."""

    def __init__(self, num_classes: int, width: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = basic_stage(width, width)
        self.layer2 = basic_stage(width, 2 * width, stride=2)
        self.layer3 = basic_stage(2 * width, 4 * width)
        self.layer4 = basic_stage(4 * width, 8 * width, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, num_classes)
        draw_kernels(self)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, num_classes]"""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def draw_kernels(net: nn.Module) -> None:
    """Draw the weights of all convolutions of `net` anew, as torchvision does."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def basic_stage(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Two basic blocks; the first one has the stride."""
    shortcut = None
    if inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return nn.Sequential(BasicBlock(inputs, outputs, stride, shortcut), BasicBlock(outputs, outputs))


class NarrowBottleneck(Bottleneck):
    """A bottleneck that widens to `planes` channels, not to four times as many."""

    expansion = 1


def small_resnet26(num_classes: int) -> ResNet:
    """Two bottlenecks a stage, a quarter as wide as torchvision's; all of its strides."""
    return ResNet(NarrowBottleneck, [2, 2, 2, 2], num_classes, width_per_group=16)


def patch_resnet14(num_classes: int, width: int = 32, patch: int = 8) -> ResNet:
    """One bottleneck a stage on patches of 8×8 pixels; `lib.backbones.PatchResNetBackbone` says what it sees."""
    net = ResNet(NarrowBottleneck, [1, 1, 1, 1], num_classes)
    net.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
    net.bn1, net.maxpool = nn.BatchNorm2d(width), nn.Identity()
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        setattr(net, stage, nn.Sequential(NarrowBottleneck(width, width)))
        if stage != "layer4":
            getattr(net, stage)[0].conv2 = nn.Conv2d(width, width, 1, bias=False)
    net.fc = nn.Linear(width, num_classes)
    draw_kernels(net)
    return net
