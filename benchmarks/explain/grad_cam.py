"""Grad-CAM of an ImageNet network against a forward and backward pass of the same images; memory over many maps.

    python -m benchmarks.explain.grad_cam [--images 32] [--maps 10000]

The network is timm's tf_efficientnet_lite0 at 224×224 pixels, untrained: its weights change no work. Grad-CAM needs no
gradients below its layer, and so is cheaper than the whole pass, which has those of all parameters. Memory is that of maps
of a small network, by Grad-CAM and by gradients, after all ÷ after a tenth of them.
"""

from collections.abc import Iterator

import psutil
import timm
import torch
from torch import Tensor, nn

from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from benchmarks.timing import side_by_side
from lib.explain import explain

MOST_TIME, MOST_GROWTH = 1.15, 1.02
BATCH, SMALL = 32, 100  # images at once: of the network, and of the small one


def passes(model: nn.Module, images: Tensor) -> None:
    for batch in images.split(BATCH):
        model(batch).amax(1).sum().backward()
        model.zero_grad()


def growth(maps: int) -> Row:
    """Resident memory after `maps` maps ÷ after a tenth of them."""
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    model = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(), *head).eval()
    process, images, sizes = psutil.Process(), torch.randn(SMALL, 3, 32, 32), []
    for number in range(maps // SMALL):
        explain(model, images, method=("grad-cam", "smooth-grad")[number % 2])
        sizes.append(process.memory_info().rss)
    bytes_ = (sizes[-1] / 2**20, sizes[len(sizes) // 10] / 2**20)
    return of_counts(f"memory after {maps:,} maps", "after a tenth", *bytes_, unit="MiB", at_most=MOST_GROWTH)


def rows(quick: bool = False, images: int = 32, maps: int = 10_000) -> Iterator[Row]:
    torch.manual_seed(0)
    yield growth(maps // 10 if quick else maps)
    model, shown = timm.create_model("tf_efficientnet_lite0").eval(), torch.randn(8 if quick else images, 3, 224, 224)
    works = (lambda: explain(model, shown, batch_size=BATCH), lambda: passes(model, shown))
    name = f"Grad-CAM of {len(shown)} images, an ImageNet network"
    yield side_by_side(name, "a forward and backward pass", *works, rounds=3 if quick else 5, at_most=MOST_TIME)


if __name__ == "__main__":
    run(rows)
