"""The class token's rollout by the vector recursion against the chain of matrix products: time and memory. And of one image
from end to end against the bare forward pass and, where a clone of github.com/jacobgil/vit-explain is named, against it.

    python -m benchmarks.dcal.rollout --vit-explain DIR
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from benchmarks import peers
from benchmarks.program import run
from benchmarks.rows import NotRun, Row, of_counts
from benchmarks.timing import side_by_side
from lib.dcal import AttentionRollout
from lib.explain import explain
from tests.peak_memory import PeakMemory

BATCH, HEADS, TOKENS, WIDTH, LAYERS = 4, 3, 785, 64, 12  # DeiT-Tiny at 448²
MOST, LEAST = {224: 1.12, 448: 1.2}, {224: 1.2, 448: 1.8}  # wanted, of the bare forward and of vit-explain, by size


def chain(maps: list[Tensor]) -> Tensor:
    """S̄_L ⋯ S̄_1 by matrix products, as the formula is written; its first row."""
    identity = torch.eye(TOKENS)
    product = identity.expand(BATCH, -1, -1)
    for attention in maps:
        product = (attention.mean(1) / 2 + identity / 2) @ product
    return product[:, 0]


def materialised(layers: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    return [(q @ k.mT * WIDTH**-0.5).softmax(-1) for q, k in layers]


def peak(work: Callable[[], object]) -> int:
    """Bytes at the height of `work`, of the tensors that it makes."""
    with PeakMemory() as memory:
        work()
    return memory.peak


def theirs_on(vit: nn.Module, folder: Path) -> Callable[[Tensor], object]:
    """vit-explain's rollout on a ViT whose attention is not fused, since it reads the maps behind their dropout; nothing is
    discarded, so that it computes what we do."""
    for block in vit.blocks:
        block.attn.fused_attn = False
    return peers.vit_explain(folder).VITAttentionRollout(vit, discard_ratio=0)


def end_to_end(size: int, folder: Path | None, rounds: int) -> Iterator[Row | NotRun]:
    """One image through DeiT-Tiny, rollout included."""
    vit, image = timm.create_model("deit_tiny_patch16_224", img_size=size).eval(), torch.randn(1, 3, size, size)
    name = f"rollout of one image, {size}²"

    def ours() -> Tensor:
        return explain(vit, image, method="rollout")

    with torch.inference_mode():
        yield side_by_side(name, "the bare forward", ours, lambda: vit(image), rounds, at_most=MOST[size])
    if folder is None:
        yield NotRun(f"vit-explain's {name} ÷ ours", peers.told("vit_explain"))
        return
    peer = theirs_on(timm.create_model("deit_tiny_patch16_224", img_size=size).eval(), folder)
    yield side_by_side(f"vit-explain's {name}", "ours", lambda: peer(image), ours, rounds, at_least=LEAST[size])


def rows(quick: bool = False, vit_explain: Path | None = None) -> Iterator[Row | NotRun]:
    torch.manual_seed(0)
    for size in MOST:
        yield from end_to_end(size, vit_explain, 5 if quick else 15)
    yield from by_the_recursion(3 if quick else 5)


def by_the_recursion(rounds: int) -> Iterator[Row]:
    """The class token's row alone."""
    shape = (BATCH, HEADS, TOKENS, WIDTH)
    layers = [(torch.randn(shape), torch.randn(shape)) for _ in range(LAYERS)]
    row, maps = AttentionRollout().row, materialised(layers)
    fused = [attention.mean(1, keepdim=True) for attention in maps]
    torch.testing.assert_close(row(layers), chain(maps))
    for what, given in (("maps, heads fused", fused), ("maps of every head", maps)):
        works = (lambda g=given: chain(g), lambda g=given: row(g))
        yield side_by_side(f"chain of matrix products, {what}", "the vector recursion", *works, rounds=rounds)
    stored = sum(t.nbytes for t in maps)
    del maps, fused
    works = (lambda: chain(materialised(layers)), lambda: row(layers))
    yield side_by_side("the same from queries and keys", "the vector recursion", *works, rounds=rounds)
    ours = peak(lambda: row([(q.clone(), k.clone()) for q, k in layers]))  # what has to be kept counts, too
    for other, theirs in (("the chain's", peak(works[0])), ("the maps", stored)):
        yield of_counts("memory of the recursion from queries and keys", other, ours / 2**20, theirs / 2**20, "MiB")


if __name__ == "__main__":
    run(rows)
