"""Grad-CAM of an ImageNet network against a forward and backward pass of the same images; memory over many maps.

    python -m benchmarks.explain.grad_cam [--images 100] [--rounds 5] [--maps 10000]

The network is timm's tf_efficientnet_lite0 at 224×224 pixels, untrained: its weights change no work. Grad-CAM needs no
gradients below its layer, and so is cheaper than the whole pass, which has those of all parameters. Memory is that of maps
of a small network, by Grad-CAM and by gradients, after all ÷ after a tenth of them.
"""

import argparse
import sys

import psutil
import timm
import torch
from torch import Tensor, nn

from benchmarks.timing import compare
from lib.explain import explain

MOST_TIME, MOST_GROWTH = 1.15, 0.02
BATCH, SMALL = 32, 100  # images at once: of the network, and of the small one


def passes(model: nn.Module, images: Tensor) -> None:
    for batch in images.split(BATCH):
        model(batch).amax(1).sum().backward()
        model.zero_grad()


def growth(maps: int) -> float:
    """Resident memory after `maps` maps ÷ after a tenth of them, less 1."""
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    model = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(), *head).eval()
    process, images, sizes = psutil.Process(), torch.randn(SMALL, 3, 32, 32), []
    for number in range(maps // SMALL):
        explain(model, images, method=("grad-cam", "smooth-grad")[number % 2])
        sizes.append(process.memory_info().rss)
    print(
        f"{maps} maps: {sizes[len(sizes) // 10] / 2**20:.0f} MiB after a tenth, {sizes[-1] / 2**20:.0f} MiB at the end"
    )
    return sizes[-1] / sizes[len(sizes) // 10] - 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--maps", type=int, default=10_000)
    chosen = parser.parse_args()
    torch.manual_seed(0)
    grown = growth(chosen.maps)
    model, images = timm.create_model("tf_efficientnet_lite0").eval(), torch.randn(chosen.images, 3, 224, 224)
    ours, whole = compare(
        lambda: explain(model, images, batch_size=BATCH), lambda: passes(model, images), rounds=chosen.rounds
    )
    print(
        f"{torch.get_num_threads()} threads, Grad-CAM of {len(images)} images {ours:.2f} s, forward and backward {whole:.2f} s"
    )
    print(f"Grad-CAM ÷ forward and backward: {ours / whole:.2f}; memory grew by {grown:.1%}")
    return 1 if ours / whole > MOST_TIME or grown > MOST_GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
