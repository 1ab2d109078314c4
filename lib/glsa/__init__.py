"""GLSA: global self-attention and local attention, fused and added to a feature map."""

from lib.glsa.attention import GlobalAttention
from lib.glsa.block import WIDTHS, GLSABlock
from lib.glsa.fusion import FUSION_STRATEGIES, BaseFusion
from lib.glsa.local import BAM, CBAM, LOCAL_ATTENTION, SCSE, LocalAttention
from lib.glsa.model import GLSANet
from lib.glsa.residual import RESIDUAL_STRATEGIES, ResidualStrategy

__all__ = [
    "BAM",
    "CBAM",
    "FUSION_STRATEGIES",
    "LOCAL_ATTENTION",
    "RESIDUAL_STRATEGIES",
    "SCSE",
    "WIDTHS",
    "BaseFusion",
    "GLSABlock",
    "GLSANet",
    "GlobalAttention",
    "LocalAttention",
    "ResidualStrategy",
]
