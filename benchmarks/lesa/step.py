"""LESA's training step and memory against its equations written out with an expanded table, `tests/lesa/transcription`."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.timing import compare
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
    """A copy of the network whose layers compute the equations as they are written."""
    model = copy.deepcopy(model)
    for layer in model.blocks.values():
        layer.forward = partial(transcription.lesa, layer)
    return model


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = lesa_net("lesa_resnet50").to(device).train()
    for block in ("layer3.1", "layer4.1"):
        term = model.blocks[block].context
        x = torch.randn(BATCH, model.blocks[block].channels, 14, 14, device=device, requires_grad=True)
        both = (term, partial(transcription.context, term))
        ours, theirs = compare(*(partial(step, path, x) for path in both))
        bytes_ = [peak(path, x) for path in both]
        print(
            f"{block}, attention part, batch {BATCH}, {device}: step {1e3 * ours:.0f} ms against {1e3 * theirs:.0f} ms "
            f"({ours / theirs:.2f} ×), peak {bytes_[0] / 1e6:.0f} MB against {bytes_[1] / 1e6:.0f} MB "
            f"({bytes_[0] / bytes_[1]:.2f} ×)"
        )
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=device)
    both = (model, plain(model))
    ours, theirs = compare(*(partial(step, path, images) for path in both), rounds=5)
    bytes_ = [peak(path, images) for path in both]
    print(
        f"lesa_resnet50 at {SIZE}², batch {BATCH}, {device}: step {1e3 * ours:.0f} ms against {1e3 * theirs:.0f} ms "
        f"({ours / theirs:.2f} ×), peak {bytes_[0] / 1e6:.0f} MB against {bytes_[1] / 1e6:.0f} MB "
        f"({bytes_[0] / bytes_[1]:.2f} ×)"
    )


if __name__ == "__main__":
    main()
