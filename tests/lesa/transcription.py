"""LESA written down from its equations (arXiv 2107.05637), with r_ij expanded to [d, N, N] and every logit normalised.

Slow and large on purpose: it is what `lib.lesa` is compared with. It reads the parameters of a `lib.lesa` layer.
"""

import torch
from torch import Tensor

from lib.lesa import LESA, ContextTerm
from lib.lesa.position import FlattenedPosition


def expanded(context: ContextTerm, height: int, width: int) -> Tensor:
    """r_ij [d, N, N] of all parts, at the scheme's own size only."""
    position = context.position
    assert position.size == (height, width)
    i = torch.arange(height * width)
    if isinstance(position, FlattenedPosition):
        index = i[:, None] - i[None, :] + height * width - 1
        return position.table.index_select(1, index.flatten()).unflatten(1, index.shape)
    y, x = i // width, i % width
    rows = position.rows[:, y[None, :] - y[:, None] + height - 1]
    return rows + position.columns[:, x[None, :] - x[:, None] + width - 1]


def context(term: ContextTerm, x: Tensor, r: Tensor | None = None) -> Tensor:
    """b [B, C, H, W]; the running statistics are updated in training, as in `term` itself.

    `r` [d, N, N] replaces the scheme's own embeddings.
    """
    batch, channels, height, width = x.shape
    d = term.dim
    qkv = term.norm_qkv(term.to_qkv(x)).reshape(batch, term.groups, 4 * d, height * width)
    q, k, v = qkv.split([d, d, 2 * d], dim=2)
    r = expanded(term, height, width) if r is None else r
    r_q, r_k, r_v = r.split([d, d, 2 * d]) if len(r) == 4 * d else (r, None, None)
    stack = [torch.einsum("bgci,bgcj->bgij", q, k), torch.einsum("bgci,cij->bgij", q, r_q)]
    if r_k is not None:
        stack.append(torch.einsum("bgcj,cji->bgij", k, r_k))
    logits = term.norm_logits(torch.cat(stack, dim=1))
    P = logits.unflatten(1, (len(stack), term.groups)).sum(1).softmax(3)
    out = torch.einsum("bgij,bgcj->bgci", P, v)
    if r_v is not None:
        out = torch.stack([out, torch.einsum("bgij,cij->bgci", P, r_v)], dim=3)
    out = term.norm_out(out.reshape(batch, -1, height, width))
    return out.unflatten(1, (channels, -1)).sum(2)


def lesa(layer: LESA, x: Tensor, r: Tensor | None = None) -> Tensor:
    u, b = layer.local(x), context(layer.context, x, r)
    return u + layer.gate(torch.cat([u, b], dim=1)) * b
