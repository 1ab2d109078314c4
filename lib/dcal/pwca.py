"""Pair-wise cross-attention (DCAL, arXiv 2205.02151, section 3.3, eq. 6).

softmax(Q₁ [K₁; K₂]ᵀ / √d) [V₁; V₂]: every token of image 1 is a query, the tokens of both images are keys in one
softmax, and the target stays image 1's label. Image 2 only distracts, in training; at inference nothing of this is computed.
"""

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from lib.dcal.glca import new_block
from lib.dcal.vit import attend, finish, project
from lib.errors import WorkbookValueError


class PairWiseCrossAttention(nn.Module):
    """One pre-norm block whose keys and values come from two images.

    In a network its weights are those of self-attention; `pairwise_block` runs it on a block that exists already.

    Args:
        embed_dim: D.
        num_heads: heads; they divide D.
        training_only: at inference image 2 is not looked at and the block is plain self-attention.
        mlp_ratio: hidden width of the FFN over D.
        drop_path: probability of stochastic depth.

    Raises:
        WorkbookValueError: a size is not a positive whole number, or `num_heads` does not divide `embed_dim`.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        training_only: bool = True,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.training_only = training_only
        self.block = new_block(embed_dim, num_heads, mlp_ratio, drop_path)

    def forward(self, x1: Tensor, x2: Tensor | None = None, training: bool | None = None) -> Tensor:
        """Tokens of image 1 [B, T, D] and of image 2 [B, S, D] → [B, T, D]

        `training` is the module's own mode where it is left out.

        Raises:
            WorkbookValueError: image 2 is needed and missing, or is not of image 1's batch and width.
        """
        training = self.training if training is None else training
        if self.training_only and not training:
            x2 = x1[:, :0]
        if x2 is None:
            raise WorkbookValueError("PWCA without a pair: give the tokens of a second image, pwca(x1, x2).")
        if x1.ndim != 3 or x2.ndim != 3 or x2.shape[::2] != x1.shape[::2]:
            raise WorkbookValueError(
                f"The pair does not fit: tokens {list(x1.shape)} and {list(x2.shape)}, not [B, T, D]."
            )
        own, (_, k2, v2) = (project(self.block.attn, self.block.norm1(x)) for x in (x1, x2))
        return pairwise_block(self.block, x1, own, (k2, v2))


def pairwise_block(block: Block, x: Tensor, own: tuple[Tensor, Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """A pre-norm block in which x [B, T, D] also attends to another image.

    `own` are queries [B, h, M, d], keys and values [B, h, T, d] of x itself, `other` keys and values [B, h, S, d]. Only
    the M queries go through, the first tokens of x: [B, M, D].
    """
    q, *keys_values = own
    k, v = (torch.cat(both, 2) for both in zip(keys_values, other, strict=True))
    return finish(block, x[:, : q.shape[2]], attend(block.attn, q, k, v))
