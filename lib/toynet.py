"""A network of three convolutional and two dense layers, that of GAttANet's first experiments.

GAttANet, arXiv 2104.05575. Known deviation: widths, normalisation and pooling are this project's.
"""

from torch import Tensor, nn

from lib.errors import positive


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
        """[B, channels, H, W] → [B, num_classes]"""
        x = self.conv3(self.conv2(self.conv1(images)))
        return self.dense2(self.dense1(self.pool(x)))


def conv_layer(inputs: int, outputs: int) -> nn.Sequential:
    """A 3×3 convolution with its norm; halves the map."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2))
