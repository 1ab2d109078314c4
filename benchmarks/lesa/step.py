"""LESA's training step and memory against its equations written out with an expanded table, `tests/lesa/transcription`."""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from benchmarks.timing import side_by_side
from lib.glsa.pointwise import Pointwise
from lib.lesa import lesa_net
from tests.lesa import transcription
from tests.peak_memory import PeakMemory

BATCH, SIZE = 8, 224


def step(path: Callable[[Tensor], Tensor], x: Tensor) -> None:
    path(x).square().mean().backward()
    if x.device.type == "cuda":
        torch.cuda.synchronize()


def peak(path: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Bytes of tensors at the height of one step, gradients of parameters made before."""
    with PeakMemory() as memory:
        step(path, x)
    return memory.peak


def plain(model: nn.Module) -> nn.Module:
    """A copy of the network whose layers compute the equations as they are written, with PyTorch's convolutions."""
    model = copy.deepcopy(model)
    for layer in model.blocks.values():
        layer.forward = partial(transcription.lesa, layer)
        layer.context.forward = partial(transcription.context, layer.context)
    for conv in (module for module in model.modules() if isinstance(module, Pointwise)):
        conv.forward = partial(nn.Conv2d.forward, conv)
    return model


def rows(quick: bool = False) -> Iterator[Row]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = (
        lesa_net("lesa_resnet50").to(device, memory_format=torch.channels_last).train()
    )  # as the trainer has it on a CPU
    slow = plain(model)
    for block in ("layer3.1", "layer4.1"):
        x = torch.randn(BATCH, model.blocks[block].channels, 14, 14, device=device, requires_grad=True)
        both = (model.blocks[block].context, slow.blocks[block].context)
        yield from compared(f"LESA, attention of {block}", both, x, 3 if quick else 9, 0.85)
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=device).to(memory_format=torch.channels_last)
    yield from compared(f"LESA-ResNet50, step at {SIZE}²", (model, slow), images, 3 if quick else 5, 0.9)


def compared(name: str, paths: Sequence[Callable], x: Tensor, rounds: int, wanted: float) -> Iterator[Row]:
    """Time and memory of a step by two paths."""
    name, against = f"{name}, batch {BATCH}", "its equations as they are written"
    yield side_by_side(name, against, *(partial(step, path, x) for path in paths), rounds=rounds, at_most=wanted)
    yield of_counts(f"{name}, memory", against, *(peak(path, x) / 1e6 for path in paths), unit="MB")


if __name__ == "__main__":
    run(rows)
