"""A step of the GLSA block against the block of the project that it comes from (github.com/phungbminh/GL-Attention), for each
fusion: time and memory. `--gl-attention` names a clone."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import peers
from benchmarks.program import run
from benchmarks.rows import NotRun, Row, of_counts
from benchmarks.timing import side_by_side
from lib.glsa import FUSION_STRATEGIES, GLSABlock
from tests.peak_memory import PeakMemory

BATCH = 8
MAPS = ((256, 28), (512, 14), (1024, 14))  # channels, and rows and columns
FASTER, MEMORY = 1.4, 0.6  # wanted


def step(block: nn.Module, x: Tensor) -> None:
    block(x).square().mean().backward()


def peak(block: nn.Module, x: Tensor) -> float:
    """MB of tensors at the height of one step."""
    with PeakMemory() as memory:
        step(block, x)
    return memory.peak / 1e6


def rows(quick: bool = False, gl_attention: Path | None = None) -> Iterator[Row | NotRun]:
    if gl_attention is None:
        yield NotRun("GLSA block ÷ GL-Attention's", peers.told("gl_attention"))
        return
    theirs, device = peers.gl_attention(gl_attention), "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    for channels, side in MAPS[:1] if quick else MAPS:
        x = torch.randn(BATCH, channels, side, side, device=device, requires_grad=True)
        for fusion in FUSION_STRATEGIES:
            ours, peer = (kind(channels, fusion_strategy=fusion).to(device) for kind in (GLSABlock, theirs.GLSABlock))
            name = f"block of {channels} channels, {side}×{side}, {fusion}"
            works = [lambda b=b, x=x: step(b, x) for b in (peer, ours)]
            rounds = 3 if quick else 9
            yield side_by_side(f"GL-Attention's {name}", "ours", *works, rounds=rounds, at_least=FASTER)
            memory = (peak(ours, x), peak(peer, x))
            yield of_counts(f"{name}, memory", "GL-Attention's", *memory, unit="MB", at_most=MEMORY)


if __name__ == "__main__":
    run(rows)
