"""The class token's rollout by the vector recursion against the chain of matrix products: time and memory. And of one image
from end to end against the bare forward pass and, where a clone of github.com/jacobgil/vit-explain is named, against it.

    python -m benchmarks.dcal.rollout --vit-explain DIR
"""

import argparse
import sys
from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn

from benchmarks.timing import compare
from lib.dcal import AttentionRollout
from lib.explain import explain
from tests.peak_memory import PeakMemory

BATCH, HEADS, TOKENS, WIDTH, LAYERS = 4, 3, 785, 64, 12  # DeiT-Tiny at 448²


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


def theirs_on(vit: nn.Module, folder: str) -> Callable[[Tensor], Tensor]:
    """vit-explain's rollout on a ViT whose attention is not fused, since it reads the maps behind their dropout; nothing is
    discarded, so that it computes what we do."""
    sys.path.insert(0, folder)
    from vit_rollout import VITAttentionRollout

    for block in vit.blocks:
        block.attn.fused_attn = False
    peer = VITAttentionRollout(vit, discard_ratio=0)
    return lambda image: torch.from_numpy(peer(image))


def end_to_end(size: int, folder: str | None) -> None:
    """One image through DeiT-Tiny, rollout included."""
    vit, image = timm.create_model("deit_tiny_patch16_224", img_size=size).eval(), torch.randn(1, 3, size, size)

    def ours() -> Tensor:
        return explain(vit, image, method="rollout")

    with torch.inference_mode():
        rolled, bare = compare(ours, lambda: vit(image), rounds=15)
    print(f"{size}², rollout from end to end: {1e3 * rolled:.1f} ms, {rolled / bare:.2f} × the bare forward pass")
    if folder:
        peer = theirs_on(timm.create_model("deit_tiny_patch16_224", img_size=size).eval(), folder)
        peer_s, ours_s = compare(lambda: peer(image), ours, rounds=15)
        print(
            f"{size}², vit-explain: {1e3 * peer_s:.1f} ms against {1e3 * ours_s:.1f} ms, {peer_s / ours_s:.2f} × faster"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vit-explain", metavar="DIR", help="a clone of vit-explain to run beside ours")
    folder = parser.parse_args().vit_explain
    torch.manual_seed(0)
    for size in (224, 448):
        end_to_end(size, folder)
    shape = (BATCH, HEADS, TOKENS, WIDTH)
    layers = [(torch.randn(shape), torch.randn(shape)) for _ in range(LAYERS)]
    rollout = AttentionRollout()
    maps = materialised(layers)
    fused = [attention.mean(1, keepdim=True) for attention in maps]
    for what, given in (("maps, heads fused", fused), ("maps of every head", maps)):
        ours, theirs = compare(lambda g=given: rollout.row(g), lambda g=given: chain(g), rounds=5)
        error = (rollout.row(given) - chain(given)).abs().max()
        print(
            f"from {what}: {1e3 * ours:.1f} ms against {1e3 * theirs:.0f} ms, {theirs / ours:.0f} × faster, error {error:.0e}"
        )
    stored = sum(t.nbytes for t in maps)
    del maps, fused
    ours, theirs = compare(lambda: rollout.row(layers), lambda: chain(materialised(layers)), rounds=5)
    error = (rollout.row(layers) - chain(materialised(layers))).abs().max()
    print(
        f"from queries and keys: {1e3 * ours:.0f} ms against {1e3 * theirs:.0f} ms, {theirs / ours:.1f} × faster, "
        f"error {error:.0e}"
    )
    ours = peak(lambda: rollout.row([(q.clone(), k.clone()) for q, k in layers]))  # what has to be kept counts, too
    theirs = peak(lambda: chain(materialised(layers)))
    print(
        f"peak memory from queries and keys, themselves included: {ours / 2**20:.1f} MiB against {theirs / 2**20:.1f} MiB "
        f"of the chain, {ours / theirs:.2f} ×; the maps alone are {stored / 2**20:.1f} MiB, {ours / stored:.2f} ×"
    )


if __name__ == "__main__":
    main()
