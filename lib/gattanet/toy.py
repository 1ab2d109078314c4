"""The small network of the paper's first experiments: three convolutional layers and two dense ones.

GAttANet, arXiv 2104.05575. Known deviation: widths, normalisation and pooling are this project's.
"""

from __future__ import annotations

from torch import Tensor, nn

from lib.errors import WorkbookValueError, positive
from lib.gattanet.model import GAttANet

TOY_LAYERS = ("conv1", "conv2", "conv3", "dense1")


class ToyNet(nn.Module):
    """Images [B, channels, H, W] of 8 pixels or more → [B, num_classes]."""

    def __init__(self, num_classes: int = 10, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        positive(num_classes=num_classes, channels=channels, width=width)
        self.conv1 = conv_layer(channels, width)
        self.conv2 = conv_layer(width, 2 * width)
        self.conv3 = conv_layer(2 * width, 4 * width)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.dense1 = nn.Sequential(nn.Linear(16 * width, 4 * width), nn.ReLU())
        self.dense2 = nn.Linear(4 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv3(self.conv2(self.conv1(images)))
        return self.dense2(self.dense1(self.pool(x)))


def conv_layer(inputs: int, outputs: int) -> nn.Sequential:
    """A 3×3 convolution with its norm; halves the map."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2))


def build_toynet(num_classes: int, pretrained: bool = False) -> ToyNet:
    """For three-channel images.

    Raises:
        WorkbookValueError: `pretrained`, or `num_classes` is not a positive whole number.
    """
    if pretrained:
        raise WorkbookValueError("The toy network has no pretrained weights: build it with pretrained=False.")
    return ToyNet(num_classes)


def build_gatta_toynet(num_classes: int, pretrained: bool = False) -> GAttANet:
    """`build_toynet` with agreement at its hidden layers, `TOY_LAYERS`."""
    return GAttANet(build_toynet(num_classes, pretrained), TOY_LAYERS, input_size=(3, 32, 32))
