"""Global self-attention over all positions of a feature map (GLSA, step 1; heads as in arXiv 1706.03762, eq. 1).

A = LayerNorm(MHA(q, k, v) + q), folded back to [B, C, H, W], with q, k, v = chunk₃(W_qkv x).

Known deviations: the project that GLSA comes from projects twice, once by its 1×1 convolution and once more inside
`nn.MultiheadAttention`; here W_qkv is the only input projection. No projection has a bias. The skip adds q, as that
project's formula says, not x.
"""

from collections.abc import Iterator

import torch
from einops import einsum, rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lib.errors import WorkbookValueError, positive
from lib.glsa.pointwise import Pointwise
from lib.mapped import Kind, Map, MapInfo, Mapped, Query, query_positions


class GlobalAttention(Mapped):
    """Every position attends to every position.

    The inner width is `channels`, or `num_heads * dim_head` where `dim_head` is given; one further 1×1 projection
    after the norm, which exists only then, leads from that width back to `channels`.

    Map: 'global', what a query pays to every position, [B, h, H, W].

    Raises:
        WorkbookValueError: a size is not a positive whole number, or `num_heads` does not divide the width.
    """

    shows = {"global": MapInfo(Kind.ATTENTION, along="heads", method="glsa-global")}

    def __init__(self, channels: int, num_heads: int = 8, dim_head: int | None = None) -> None:
        super().__init__()
        positive(channels=channels, num_heads=num_heads, dim_head=1 if dim_head is None else dim_head)
        width = channels if dim_head is None else num_heads * dim_head
        self.num_heads = dividing(num_heads, width)
        self.to_qkv = Pointwise(channels, 3 * width)
        self.to_out = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.to_channels = nn.Identity() if dim_head is None else nn.Linear(width, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H, W]"""
        height = x.shape[2]
        q, k, v = (split_heads(part, self.num_heads) for part in self.to_qkv(x).chunk(3, dim=1))
        heads = scaled_dot_product_attention(q, k, v)  # [B, h, N, d]
        out = self.to_out(rearrange(heads, "b h n d -> b n (h d)"))
        out = self.norm(out + rearrange(q, "b h n d -> b n (h d)"))
        self.keep(q=unfold(q, height), k=k)
        return rearrange(self.to_channels(out), "b (y x) c -> b c y x", y=height)

    def shown(self, query: Query = None) -> Iterator[Map]:
        yield attention_of(self, "global", query)

    def matrix(self) -> Tensor:
        """[B, h, N, N], rows are queries, in the last eval forward; N² numbers a head, so computed only here."""
        return attention(self.kept["q"].flatten(2, 3), self.kept["k"])


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """[B, C, H, W] → [B, h, N, d]"""
    return rearrange(x, "b (h d) y x -> b h (y x) d", h=num_heads)


def unfold(q: Tensor, height: int) -> Tensor:
    """[B, h, N, d] → [B, h, H, W, d]: the same numbers, which now know their positions."""
    return rearrange(q, "b h (y x) d -> b h y x d", y=height)


def attention(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q kᵀ / √d), [B, h, M, d] and [B, h, N, d] → [B, h, M, N]"""
    q, k = (t.to(at_least_float32(t.dtype)) for t in (q, k))
    return (einsum(q, k, "b h m d, b h n d -> b h m n") * q.shape[-1] ** -0.5).softmax(-1)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """float32 for half precision, whose rows of attention would sum to one only within a percent."""
    return torch.promote_types(dtype, torch.float32)


def attention_of(module: Mapped, name: str, query: Query) -> Map:
    """The rows of `attention` that belong to `query`, of a module that keeps q [B, h, H, W, d] and k [B, h, N, d].

    Raises:
        WorkbookValueError: `query` is not a position of the map.
    """
    q, k = module.kept["q"], module.kept["k"]
    height, width = q.shape[2:4]
    rows = attention(q.flatten(2, 3)[:, :, query_positions(query, height, width)], k)
    return module.attended(name, rows, query, height, width)


def dividing(num_heads: int, width: int) -> int:
    """`num_heads`, if it divides `width`; else a WorkbookValueError with the nearest numbers that do."""
    if width % num_heads:
        divisors = [n for n in range(1, width + 1) if width % n == 0]
        near = [n for n in divisors if n < num_heads][-1:] + [n for n in divisors if n > num_heads][:1]
        raise WorkbookValueError(
            f"num_heads={num_heads} does not divide the width {width}. Nearest that do: {' and '.join(map(str, near))}."
        )
    return num_heads
