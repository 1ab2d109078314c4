"""Attention with relative embeddings, and its gradient in closed form (arXiv 2107.05637, section 3.2).

P_ij = softmax_j(s q_i·k_j + s^q q_i·r^q_ij + s^k k_j·r^k_ji); the sums are Σ_j P_ij v_j and Σ_j P_ij r^v_ij. No [N, N] map is
kept for the gradient: P is built again, of a few maps at a time, and from the gradient of the logits follow those of q, k,
the scales and the tables. Autograd, over the same maps built again, would compute the sums once more as well, and copy every
map from one layout to another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from einops import rearrange
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lib.lesa.relative import Relative

# Elements of the N×N maps built at once: what a CPU's cache holds; an accelerator wants more work per call.
CHUNK = {"cpu": 2**19}
ACCELERATOR_CHUNK = 2**25

Named = dict[str, Tensor]


def few_maps(tensors: Named) -> Iterator[Named]:
    """Tensors [n, …, N] by name, of so many of the n maps at a time as N×N weights may be built at once."""
    first = next(iter(tensors.values()))
    maps = max(1, CHUNK.get(first.device.type, ACCELERATOR_CHUNK) // first.shape[-1] ** 2)
    for parts in zip(*(tensor.split(maps) for tensor in tensors.values()), strict=True):
        yield dict(zip(tensors, parts, strict=True))


def weights(scored: Named, relative: dict[str, Relative]) -> Tensor:
    """P [n, N, N], each row (a query) sums to one, from what `ContextTerm.scored` gives."""
    logits = rearrange(relative["q"].products(scored["q"] * scored["scale_q"]), "n y x k l -> n (y x) (k l)")
    if "k" in relative:
        by_key = scored["k"] * scored["scale_k"]
        add_products(logits, rearrange(relative["k"].products(by_key), "n k l y x -> n y x k l"))
    return logits.baddbmm_((scored["q"] * scored["scale"]).mT, scored["k"]).softmax(-1)


def attend(scored: Named, v: Tensor, relative: dict[str, Relative]) -> Tensor:
    """Σ_j P_ij v_j and Σ_j P_ij r^v_ij beside each other: v [n, d, N] → [n, d, 2, N], or [n, d, 1, N] without r^v."""
    inputs = {**scored, "v": v}
    if not torch.is_grad_enabled():
        return sums(inputs, relative)
    tables = [table for part in relative.values() for table in part.tables]
    return PairAttention.apply(relative, list(inputs), *inputs.values(), *tables)


class PairAttention(torch.autograd.Function):
    """`sums` of the tensors that `names` names, and of the tables of `relative` in its order."""

    @staticmethod
    def forward(ctx: FunctionCtx, relative: dict[str, Relative], names: list[str], *tensors: Tensor) -> Tensor:
        """→ [n, d, 2, N], or [n, d, 1, N] without r^v; what `names` names is saved for the gradient, and no map."""
        ctx.relative, ctx.names = relative, names
        ctx.save_for_backward(*tensors[: len(names)])
        return sums(dict(zip(names, tensors, strict=False)), relative)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        """From the gradient of the sums those of all tensors and tables, a few maps at a time; it has none itself."""
        inputs = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        found = {
            name: torch.empty_like(tensor, memory_format=torch.contiguous_format) for name, tensor in inputs.items()
        }
        of_tables = {name: [torch.zeros_like(table) for table in part.tables] for name, part in ctx.relative.items()}
        with without_autocast(grad.device.type):  # `backward` may be called where it is on
            for part, into in zip(few_maps({**inputs, "sums": grad}), few_maps(found), strict=True):
                gradients(part, ctx.relative, into, of_tables)
        return None, None, *found.values(), *(table for tables in of_tables.values() for table in tables)


def sums(inputs: Named, relative: dict[str, Relative]) -> Tensor:
    """What `attend` gives, of a few maps at a time."""
    v = inputs["v"]
    out = v.new_empty(*v.shape[:2], 2 if "v" in relative else 1, v.shape[2])
    for part in few_maps({**inputs, "sums": out}):
        pairs = weights(part, relative)
        part["sums"][:, :, 0] = part["v"] @ pairs.mT
        if "v" in relative:
            part["sums"][:, :, 1] = relative["v"].averages(*relative["v"].by_offset(pairs))
    return out


def gradients(part: Named, relative: dict[str, Relative], into: Named, of_tables: dict[str, list[Tensor]]) -> None:
    """Write those of a few maps' inputs `into` tensors of the same names, and add those of the tables; `part` holds the
    inputs and the gradient of their `sums`."""
    pairs = weights(part, relative)
    direct = part["sums"][:, :, 0]
    torch.bmm(direct, pairs, out=into["v"])
    of_pairs = direct.mT @ part["v"]
    if "v" in relative:
        of_averages = part["sums"][:, :, 1]
        add_products(of_pairs, relative["v"].products(of_averages))
        add(of_tables["v"], relative["v"].gradients(of_averages, *relative["v"].by_offset(pairs)))
    of_logits = torch._softmax_backward_data(of_pairs, pairs, -1, pairs.dtype, grad_input=of_pairs)
    del pairs, of_pairs
    q, k, scale = part["q"], part["k"], part["scale"]
    of_scaled = k @ of_logits.mT
    into["scale"][:] = (of_scaled * q).sum((1, 2), keepdim=True)
    torch.mul(of_scaled, scale, out=into["q"])
    torch.bmm(q * scale, of_logits, out=into["k"])
    for name, a, of_products in (("q", q, of_logits), ("k", k, of_logits.mT)):
        if name in relative:
            scale = part[f"scale_{name}"]
            offsets = relative[name].by_offset(of_products)
            of_scaled = relative[name].averages(*offsets)
            into[f"scale_{name}"][:] = (of_scaled * a).sum((1, 2), keepdim=True)
            into[name].addcmul_(of_scaled, scale)
            add(of_tables[name], relative[name].gradients(a * scale, *offsets))


def add_products(pairs: Tensor, products: Tensor) -> None:
    """Add what `Relative.products` gives to pairs [n, N, N], in place and without another copy."""
    pairs.view(products.shape).add_(products)


def add(totals: list[Tensor], tables: tuple[Tensor, ...]) -> None:
    """Add each table to its total, in place."""
    for total, table in zip(totals, tables, strict=True):
        total += table


def without_autocast(device: str) -> AbstractContextManager:
    """A with-block in which nothing is cast to half precision on `device` ("cpu", "cuda", …), if that has autocast at all."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
