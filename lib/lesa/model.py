"""LESA in torchvision's bottleneck ResNets, and the paper's two networks (arXiv 2107.05637, section 4.1).

LESA_ResNet50 and LESA_WRN50 hold LESA in `layer3` but its first block and in all of `layer4`, which keeps `layer3`'s
resolution (`keep_resolution` before `insert_lesa`): 8 layers on 14×14 positions for a 224×224 image. Plain self-attention stands in the same places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from torch import nn

from lib.backbones import ResNetBackbone, keep_resolution
from lib.errors import WorkbookValueError, choose, height_and_width, positive
from lib.lesa.layer import LESA, SelfAttention
from lib.mapped import Map, Query

if TYPE_CHECKING:
    from torchvision.models.resnet import Bottleneck, ResNet

STAGES = ("layer1", "layer2", "layer3", "layer4")
PAPER_BLOCKS = {"layer3": (1, 2, 3, 4, 5), "layer4": (0, 1, 2)}
BASES = {"lesa_resnet50": "resnet50", "lesa_wrn50": "wide_resnet50_2"}


class LESANet(ResNetBackbone):
    """A torchvision ResNet that holds LESA or self-attention (`insert_lesa`), images [B, 3, H, W] → [B, num_classes].

    Any size from 32 pixels on. A block is named by its stage and number: "layer3.1".
    """

    @property
    def blocks(self) -> dict[str, SelfAttention]:
        """The layers by the name of their block."""
        layers = [(name, layer) for name, layer in self.net.named_modules() if isinstance(layer, SelfAttention)]
        return {name.removesuffix(".conv2"): layer for name, layer in layers}

    def shown(self, query: Query = None) -> Iterator[Map]:
        """The maps of every block."""
        for block, layer in self.blocks.items():
            for shown in layer.shown(query):
                yield Map.of(shown, shown.info, layer=block)

    def maps(self, query: Query = None, block: str | None = None) -> dict[str, Map]:
        """The maps of one block (None: the last one); see `LESA`."""
        blocks = self.blocks
        return blocks[list(blocks)[-1] if block is None else choose("block", block, blocks)].maps(query)

    def count_parameters(self) -> dict[str, int]:
        """{'total', 'backbone', 'context'} and of LESA 'local' and 'gate'; the parts sum to the total."""
        parts: dict[str, int] = {}
        for layer in self.blocks.values():
            for name, part in layer.named_children():
                parts[name] = parts.get(name, 0) + sum(p.numel() for p in part.parameters())
        total = sum(p.numel() for p in self.parameters())
        return {"total": total, "backbone": total - sum(parts.values()), **parts}


def insert_lesa(
    net: ResNet,
    blocks: Mapping[str, Iterable[int]] = PAPER_BLOCKS,
    position: str = "classification",
    image_size: int | tuple[int, int] = (224, 224),
    groups: int = 8,
    layer: type[SelfAttention] = LESA,
) -> ResNet:
    """Replace the 3×3 convolutions of `blocks` by LESA layers with the same channels and stride, in place.

    The BatchNorm behind the convolution goes too: both of LESA's terms end in one.

    Args:
        net: any of torchvision's ResNets with bottlenecks.
        blocks: the numbers of the blocks by stage, {"layer4": (0, 1, 2)}.
        position: the scheme, see `LESA`.
        image_size: a side, or height and width, in pixels that the position tables are made for; other sizes are resampled to.
        groups: see `LESA`.
        layer: `LESA`, or `SelfAttention` for its context term alone.

    Raises:
        WorkbookValueError: not a bottleneck ResNet, an unknown stage or block, or what `LESA` raises.
    """
    height, width = height_and_width(image_size)
    for stage, numbers in blocks.items():
        stage = choose("stage", stage, STAGES)
        for number in numbers:
            block, stride = bottleneck(net, stage, number), stride_before(net, stage, number)
            size = (-(-height // stride), -(-width // stride))
            block.conv2 = layer(block.conv2.in_channels, size, groups, position, block.conv2.stride[0])
            block.bn2 = nn.Identity()
    return net


def bottleneck(net: ResNet, stage: str, number: int) -> Bottleneck:
    """Block `number` of a stage, if it is a bottleneck with its convolution still in place.

    Raises:
        WorkbookValueError: it is not.
    """
    from torchvision.models.resnet import Bottleneck, ResNet  # slow to import

    if not isinstance(net, ResNet):
        raise WorkbookValueError(
            f"LESA goes into torchvision's ResNets, not into a {type(net).__name__}: take the backbone resnet50 or another of these."
        )
    stage_blocks = getattr(net, stage)
    if number not in range(len(stage_blocks)):
        raise WorkbookValueError(f"{stage} has the blocks 0 to {len(stage_blocks) - 1}, and no block {number}.")
    block = stage_blocks[number]
    if not isinstance(block, Bottleneck):
        raise WorkbookValueError(
            "LESA replaces the 3×3 convolution of a bottleneck; resnet18 and resnet34 have none. Take resnet50 or larger."
        )
    if isinstance(block.conv2, SelfAttention):
        raise WorkbookValueError(f"{stage}.{number} holds {type(block.conv2).__name__} already; name each block once.")
    return block


def stride_before(net: ResNet, stage: str, number: int) -> int:
    """Pixels of the image between two positions of the map that block `number` of a stage works on."""
    stride = net.conv1.stride[0] * getattr(net.maxpool, "stride", 1)  # of the stem
    for name in STAGES[: STAGES.index(stage) + 1]:
        for block in getattr(net, name)[: number if name == stage else None]:
            stride *= block.stride
    return stride


def lesa_net(
    name: str = "lesa_resnet50",
    num_classes: int = 1000,
    position: str = "classification",
    image_size: int | tuple[int, int] = (224, 224),
) -> LESANet:
    """The paper's network `name`, a key of `BASES`, weights drawn at random.

    Raises:
        WorkbookValueError: an unknown name or position scheme, or a size that is not a positive whole number.
    """
    positive(num_classes=num_classes)
    base = BASES[choose("network", name, BASES)]
    from torchvision import models  # slow to import

    net = keep_resolution(models.get_model(base, weights=None, num_classes=num_classes))
    return LESANet(insert_lesa(net, PAPER_BLOCKS, position, image_size))
