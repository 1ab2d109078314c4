"""Deletion and insertion in batches over images and steps, against the loop over both that public code runs."""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from lib.explain import deletion, insertion

IMAGES, STEPS, SIDE = 100, 50, 224


def loop(model: nn.Module, images: Tensor, maps: Tensor, targets: Tensor, coming: bool) -> np.ndarray:
    """Areas [N], a step at a time, as RISE's code computes them: the next pixels are copied, the image is asked about."""
    areas = []
    for image, saliency, target in zip(images, maps, targets, strict=True):
        blank = gaussian_blur(image[None], 11, 5.0)[0] if coming else torch.zeros_like(image)
        start, finish = (blank, image) if coming else (image, blank)
        order = np.argsort(-saliency.numpy().reshape(-1), kind="stable")
        current, goal, curve = start.clone(), finish.numpy().reshape(3, -1), []
        for step in range(STEPS + 1):
            with torch.no_grad():
                curve.append(model(current[None]).softmax(1)[0, target].item())
            chosen = order[len(order) * step // STEPS : len(order) * (step + 1) // STEPS]
            current.numpy().reshape(3, -1)[:, chosen] = goal[:, chosen]
        areas.append((sum(curve) - (curve[0] + curve[-1]) / 2) / STEPS)
    return np.array(areas)


def main() -> None:
    """`--images N` measures the loop on N images only and counts it up to all."""
    few = int(sys.argv[sys.argv.index("--images") + 1]) if "--images" in sys.argv else IMAGES
    torch.manual_seed(0)
    model = torchvision.models.resnet18().eval()
    images, maps = torch.randn(IMAGES, 3, SIDE, SIDE), torch.rand(IMAGES, SIDE, SIDE)
    with torch.inference_mode():
        targets = torch.cat([model(part).argmax(1) for part in images.split(25)])
    print(f"{torch.get_num_threads()} threads, {IMAGES} images of {SIDE}×{SIDE}, ResNet18, {STEPS} steps")
    for name, ours, coming in (("deletion", deletion, False), ("insertion", insertion, True)):
        began = time.perf_counter()
        found = ours(model, images, maps, targets, steps=STEPS).area
        batched = time.perf_counter() - began
        began = time.perf_counter()
        expected = loop(model, images[:few], maps[:few], targets[:few], coming)
        looped = (time.perf_counter() - began) * IMAGES / few
        error = np.abs(found[:few] - expected).max()
        print(f"{name}: {batched:.1f} s against {looped:.1f} s, {looped / batched:.1f} × faster, error {error:.0e}")


if __name__ == "__main__":
    main()
