"""Global-local cross-attention (DCAL, arXiv 2205.02151, section 3.2, eq. 5).

softmax(Q_l K_gᵀ / √d) V_g in one pre-norm block with weights of its own. Queries are the class token and the patches
with the highest rollout scores; keys and values are all tokens. Residuals and FFN are on the selected tokens only, which
reproduces the paper's +2 % FLOPs; an FFN on every token would give +4.6 %.

Where the backbone has more tokens than class and patches (a distillation token, registers), they are keys and values.
"""

from collections.abc import Iterator
from functools import partial

import torch
from timm.models.vision_transformer import Block, init_weights_vit_timm
from torch import Tensor, nn

from lib.dcal.hook import AttentionRolloutHook
from lib.dcal.selection import check_ratio, top_patches
from lib.dcal.vit import attend, finish, project
from lib.errors import WorkbookError, WorkbookValueError, positive
from lib.glsa.attention import attention, dividing
from lib.mapped import CLASS_TOKEN, Kind, Map, MapInfo, Mapped, Query


def new_block(embed_dim: int, num_heads: int, mlp_ratio: float, drop_path: float) -> Block:
    """A pre-norm block as in DeiT, drawn as timm draws it.

    Raises:
        WorkbookValueError: a size is not a positive whole number, or `num_heads` does not divide `embed_dim`.
    """
    positive(embed_dim=embed_dim, num_heads=num_heads)
    norm = partial(nn.LayerNorm, eps=1e-6)
    dividing(num_heads, embed_dim)
    block = Block(embed_dim, num_heads, mlp_ratio, qkv_bias=True, drop_path=drop_path, norm_layer=norm)
    return block.apply(init_weights_vit_timm)


class GlobalLocalCrossAttention(Mapped):
    """The class token and the top-R patches are the queries, all tokens keys and values.

    Maps over the patches, [B, N] each: 'selected', 1 where a patch was chosen, and 'attention', what the class token
    pays in this block, mean over the heads.

    Args:
        embed_dim: D.
        num_heads: heads; they divide D.
        top_ratio: R as a share of the patches, in (0, 1], rounded up.
        mlp_ratio: hidden width of the FFN over D.
        drop_path: probability of stochastic depth.

    Raises:
        WorkbookValueError: a size or ratio that cannot be.
    """

    shows = {"selected": MapInfo(Kind.SELECTION), "attention": MapInfo(Kind.ATTENTION, query=CLASS_TOKEN)}

    def __init__(
        self, embed_dim: int, num_heads: int, top_ratio: float = 0.1, mlp_ratio: float = 4.0, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.top_ratio = check_ratio(top_ratio)
        self.block = new_block(embed_dim, num_heads, mlp_ratio, drop_path)
        self._hook: AttentionRolloutHook | None = None

    def set_rollout_hook(self, hook: AttentionRolloutHook) -> None:
        """Take scores from `hook` where `forward` is given none."""
        self._hook = hook

    def forward(self, x: Tensor, scores: Tensor | None = None) -> Tensor:
        """Tokens [B, T, D] and scores [B, N] of the last N of them, the patches → [B, 1 + R, D], class token first.

        Raises:
            WorkbookError: there are neither scores nor a hook, or the hook collected nothing.
            WorkbookValueError: the scores do not fit the tokens.
        """
        if scores is None:
            if self._hook is None:
                raise WorkbookError("GLCA needs scores to select by: give glca(x, scores), or set_rollout_hook(hook).")
            scores = self._hook.get_cls_attention()
        if (x.ndim, scores.ndim) != (3, 2) or len(scores) != len(x) or not 0 < scores.shape[1] < x.shape[1]:
            raise WorkbookValueError(
                f"Scores of shape {list(scores.shape)} do not fit tokens of shape {list(x.shape)}, [B, T, D]: "
                "one score for each patch of each image, and at least one class token before them."
            )
        index = top_patches(scores, self.top_ratio)
        places = nn.functional.pad(index + (x.shape[1] - scores.shape[1]), (1, 0))  # 0, the class token, comes first
        normed = self.block.norm1(x)
        q, k, v = project(self.block.attn, normed, queries=_take(normed, places))
        self.keep(q=q[:, :, :1], k=k, index=index, scores=scores)
        return finish(self.block, _take(x, places), attend(self.block.attn, q, k, v))

    def shown(self, query: Query = None) -> Iterator[Map]:
        """'selected' and 'attention', both of the class token, whatever `query` is."""
        kept = self.kept
        selected = torch.zeros_like(kept["scores"]).scatter_(1, kept["index"], 1.0)
        yield self.typed("selected", selected)
        rows = attention(kept["q"], kept["k"]).mean(1)[:, 0]
        yield self.typed("attention", rows[:, -selected.shape[1] :])


def _take(x: Tensor, places: Tensor) -> Tensor:
    """Tokens [B, T, D] at `places` [B, M] → [B, M, D]"""
    return x.gather(1, places.unsqueeze(2).expand(-1, -1, x.shape[2]))
