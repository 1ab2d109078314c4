"""The rows of attention that are worth a look, by name."""

from __future__ import annotations

from torch import Tensor

from lib.dcal.hook import AttentionRolloutHook
from lib.dcal.rollout import AttentionRollout
from lib.errors import WorkbookValueError
from lib.glsa.attention import attention


def rows_by_name(hook: AttentionRolloutHook, token: int = 0) -> dict[str, Tensor]:
    """What `token` has taken from or pays to each patch, [B, N]: 'rollout' through all layers, 'rollout_layer_<l>'
    through the first l of them, 'layer_<l>_head_<h>' in one head; both numbered from 1."""
    layers = hook.layers
    by_layer = AttentionRollout().rows(layers, token)[:, :, hook.prefix :]
    rows = {"rollout": by_layer[:, -1]}
    rows |= {f"rollout_layer_{n}": row for n, row in enumerate(by_layer.unbind(1), 1)}
    for n, (q, k) in enumerate(layers, 1):
        heads = attention(q[:, :, token : token + 1], k)[:, :, 0, hook.prefix :]
        rows |= {f"layer_{n}_head_{h}": row for h, row in enumerate(heads.unbind(1), 1)}
    return rows


def token_of(query: tuple[int, int] | None, height: int, width: int, prefix: int) -> int:
    """The token of the patch at `query` (row, column); None is the class token.

    Raises:
        WorkbookValueError: there is no such patch.
    """
    if query is None:
        return 0
    row, column = query
    if not (0 <= row < height and 0 <= column < width):
        raise WorkbookValueError(
            f"The query (row {row}, column {column}) is outside the {height}×{width} patches: rows go from 0 to "
            f"{height - 1}, columns from 0 to {width - 1}."
        )
    return prefix + row * width + column
