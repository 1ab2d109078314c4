"""LESA's binary term: self-attention of all positions over all positions (arXiv 2107.05637, section 3.2).

[q; k; v] = BN(W x). Per head the logits are BN(q_i·k_j) + BN(q_i·r^q_ij) + BN(k_j·r^k_ji), softmax over j gives P, and
b = BN(Σ_j P_ij v_j) + BN(Σ_j P_ij r^v_ij). With `detection_qr` there is no r^k and no r^v.

The logits' BatchNorms are folded into scales of q and k, in training too: softmax takes away whatever shifts a row, and
the batch's mean and variance over N² pairs follow exactly from sums over N positions (`moments`). No [3g, N, N] stack
is ever normalised. The maps of a few heads at a time are built, and in training built again for the gradient
instead of stored. Logits, softmax and statistics are at least float32, whatever autocast says and the weights are in.
"""

from collections.abc import Iterator

import torch
from einops import einsum, rearrange, repeat
from torch import Tensor, nn

from lib.errors import WorkbookValueError, choose, positive
from lib.glsa.attention import at_least_float32
from lib.glsa.pointwise import Pointwise, laid
from lib.lesa.pair_attention import attend, few_maps, weights, without_autocast
from lib.lesa.position import POSITIONS
from lib.lesa.relative import Relative
from lib.mapped import Kind, Map, MapInfo, Mapped, Query, query_positions


class ContextTerm(Mapped):
    """[B, C, H, W] → [B, C, H, W] for any H and W.

    Args:
        channels: C.
        size: a side, or height and width, of the map that the position scheme's tables are for.
        groups: heads g; 2g must divide C.
        position: a name in `POSITIONS`.

    Map: 'context' [B, g, H, W], what a query pays to every position.

    Raises:
        WorkbookValueError: a name is unknown, a size is not a positive whole number, or 2g does not divide C.
    """

    shows = {"context": MapInfo(Kind.ATTENTION, along="heads")}

    def __init__(
        self, channels: int, size: int | tuple[int, int], groups: int = 8, position: str = "classification"
    ) -> None:
        super().__init__()
        positive(channels=channels, groups=groups)
        self.groups = dividing(groups, channels)
        self.dim = channels // (2 * groups)
        self.to_qkv = Pointwise(channels, 2 * channels)
        self.norm_qkv = nn.BatchNorm2d(2 * channels)
        self.position = POSITIONS[choose("position", position, POSITIONS)](self.dim, size)
        full = self.position.on_keys_and_values
        self.norm_logits = nn.BatchNorm2d((3 if full else 2) * groups)
        self.norm_out = nn.BatchNorm2d((2 if full else 1) * channels)

    def forward(self, x: Tensor) -> Tensor:
        """b [B, C, H, W] of x [B, C, H, W], in x's type; at least float32 within."""
        height, width = x.shape[2:]
        qkv = laid(self.norm_qkv(self.to_qkv(x)), torch.contiguous_format)
        with without_autocast(x.device.type):
            exact = at_least_float32(qkv.dtype)
            qkv = rearrange(qkv.to(exact), "b (g c) y x -> b g c (y x)", g=self.groups)
            q, k, v = qkv.split([self.dim, self.dim, 2 * self.dim], dim=2)
            relative = self.position(height, width, exact)
            scored = self.scored(q, k, relative)
            sums = attend(scored, rearrange(v, "b g d i -> (b g) d i"), relative)
            stacked = rearrange(sums, "(b g) d two (y x) -> b (g d two) y x", g=self.groups, y=height)
            stacked = stacked.to(self.norm_out.weight.dtype)  # of a BatchNorm in half precision the input is, too
            out = rearrange(self.norm_out(stacked), "b (c two) y x -> b c two y x", two=sums.shape[2]).sum(2)
        self.keep(size=torch.tensor((height, width)), **scored)
        return out.to(x.dtype)

    def scored(self, q: Tensor, k: Tensor, relative: dict[str, Relative]) -> dict[str, Tensor]:
        """What scores pairs: queries and keys, each [b, g, d, N] → [(b g), d, N], and the scales [(b g), 1, 1] that the logits'
        BatchNorms are."""
        norm = self.norm_logits
        moments = None
        if norm.training:
            parts = [pair_moments(q, k), relative["q"].moments(q)]
            parts += [relative["k"].moments(k)] if "k" in relative else []
            moments = [torch.cat(part) for part in zip(*parts, strict=True)]
        count = q.shape[0] * q.shape[3] ** 2
        scales = repeat(
            batch_norm_scale(norm, moments, count, q.dtype), "(s g) -> s (b g) 1 1", g=self.groups, b=len(q)
        )
        vectors = {name: rearrange(t, "b g d i -> (b g) d i") for name, t in (("q", q), ("k", k))}
        return vectors | dict(zip(("scale", "scale_q", "scale_k"), scales, strict=False))

    def shown(self, query: Query = None) -> Iterator[Map]:
        kept = dict(self.kept)
        height, width = kept.pop("size").tolist()
        positions = query_positions(query, height, width)
        with torch.no_grad():
            relative = self.position(height, width, kept["q"].dtype)
            rows = torch.cat([weights(scored, relative)[:, positions] for scored in few_maps(kept)])
        heads = rearrange(rows, "(b g) m n -> b g m n", g=self.groups)
        yield self.attended("context", heads, query, height, width)


def pair_moments(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean square of q_i·k_j over images and pairs: [b, g, d, N] twice → [g], [g].

    Σ_ij (q_i·k_j)² is the inner product of the Gram matrices QᵀQ and KᵀK.
    """
    pairs = q.shape[0] * q.shape[3] ** 2
    mean = einsum(q.sum(3), k.sum(3), "b g d, b g d -> g") / pairs
    return mean, einsum(q @ q.mT, k @ k.mT, "b g c d, b g c d -> g") / pairs


def batch_norm_scale(norm: nn.BatchNorm2d, moments: list[Tensor] | None, count: int, dtype: torch.dtype) -> Tensor:
    """γ/√(σ²+ε) of `norm` [channels] in `dtype`, from a batch's mean and mean square over `count` numbers (None: eval).

    Updates the running statistics as BatchNorm does. The bias shifts every logit of a row alike, so softmax takes it
    away; it stays in the graph with its true gradient, zero, because DDP waits for every parameter.
    """
    variance = norm.running_var.to(dtype)
    if moments is not None:
        mean, square = moments
        variance = (square - mean**2).clamp(min=0)
        with torch.no_grad():
            norm.num_batches_tracked += 1
            unbiased = variance * (count / max(count - 1, 1))
            for running, new in ((norm.running_mean, mean), (norm.running_var, unbiased)):
                running.lerp_(new.to(running.dtype), norm.momentum)
    return norm.weight * (variance + norm.eps).rsqrt() + 0 * norm.bias


def dividing(groups: int, channels: int) -> int:
    """`groups`, if twice as many divide `channels`; else a WorkbookValueError with the nearest numbers that do."""
    if channels % (2 * groups):
        fitting = [n for n in range(1, channels + 1) if channels % (2 * n) == 0]
        near = [n for n in fitting if n < groups][-1:] + [n for n in fitting if n > groups][:1]
        remedy = f"Nearest that fit: {' and '.join(map(str, near))}." if near else "Give an even number of channels."
        raise WorkbookValueError(
            f"groups={groups} does not fit {channels} channels: each group needs an even number of them. {remedy}"
        )
    return groups
