"""A backbone with one GLSA block where it is cut."""

from collections.abc import Iterator

from torch import Tensor

from lib.backbones import Backbone
from lib.errors import WorkbookValueError
from lib.glsa.block import GLSABlock
from lib.mapped import Map, Mapped, Query


class GLSANet(Mapped):
    """upper(block(lower(images))).

    Raises:
        WorkbookValueError: the block has other channels than the backbone at its cut.
    """

    def __init__(self, backbone: Backbone, block: GLSABlock) -> None:
        super().__init__()
        if block.channels != backbone.channels:
            raise WorkbookValueError(
                f"The backbone has {backbone.channels} channels at its cut and the block {block.channels}: "
                f"build GLSABlock(channels={backbone.channels})."
            )
        self.backbone = backbone
        self.block = block

    @property
    def mha_block(self) -> GLSABlock:
        """The block, as GL-Attention calls it."""
        return self.block

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, num_classes]"""
        return self.backbone.upper(self.block(self.backbone.lower(images)))

    def shown(self, query: Query = None) -> Iterator[Map]:
        """The block's maps; see `GLSABlock.shown`. A position of the map is 16 pixels wide in torchvision's networks."""
        return self.block.shown(query)

    def count_parameters(self) -> dict[str, int]:
        """{'total', 'backbone', 'global', 'local', 'fusion', 'residual'}; the parts sum to the total."""
        backbone, block = self.backbone.count_parameters()["total"], self.block.count_parameters()
        return {**block, "total": backbone + block["total"], "backbone": backbone}
