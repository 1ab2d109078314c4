"""Deletion and insertion in batches over images and steps against the loop over both, and deletion against Quantus' where
that is installed; ROAD's filling against a solver."""

import argparse
import importlib.util
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms.functional import gaussian_blur

from lib.explain import deletion, insertion
from lib.explain.scores.imputation import imputed

STEPS, SIDE = 50, 224
FEATURES = (
    3136,
    1024,
)  # in a step of Quantus, which takes divisors of the pixels only: 48 steps of all three colours; 147
ROUNDS = 3


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


def timed(work: Callable[[], object]) -> tuple[object, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def peak(dtype: torch.dtype) -> float:
    """Floating point operations a second of a large matrix product, which no convolution on these cores surpasses by much."""
    square = torch.randn(2048, 2048).to(dtype)
    return 2 * len(square) ** 3 / min(timed(lambda: square @ square)[1] for _ in range(9))


def curves(model: nn.Module, images: Tensor, maps: Tensor, targets: Tensor) -> None:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(images[:1])
    work = counter.get_total_flops() * len(images) * (STEPS + 1)
    peaks = {"32": peak(torch.float32), "bf16": peak(torch.bfloat16)}
    deletion(model, images[:1], maps[:1], targets[:1], steps=STEPS)  # warm
    for name, ours, coming in (("deletion", deletion, False), ("insertion", insertion, True)):
        expected, looped = timed(lambda c=coming: loop(model, images, maps, targets, c))
        for precision in ("32", "bf16"):
            found, batched = timed(
                lambda f=ours, p=precision: f(model, images, maps, targets, steps=STEPS, precision=p)
            )
            error = np.abs(found.area - expected).max()
            most = looped * peaks[precision] / work
            print(
                f"{name}, precision {precision}: {batched:.1f} s against {looped:.1f} s, {looped / batched:.2f} × faster "
                f"({most:.1f} × if these cores did nothing but multiply at their peak), "
                f"greatest error {error:.0e} of areas {expected.min():.3f} to {expected.max():.3f}"
            )


def flipping(model: nn.Module, images: Tensor, maps: Tensor, targets: Tensor) -> None:
    """Quantus' PixelFlipping beside deletion on the same steps, in turns."""
    if importlib.util.find_spec("quantus") is None:
        print("deletion against Quantus: it is not installed (make test installs it)")
        return
    import quantus

    steps = 3 * SIDE * SIDE // FEATURES
    quiet = {"disable_warnings": True, "display_progressbar": False, "normalise": False, "abs": False}
    metric = quantus.PixelFlipping(features_in_step=FEATURES, perturb_baseline=0.0, **quiet)
    arrays = {"x_batch": images.numpy(), "y_batch": targets.numpy(), "softmax": True, "device": "cpu"}
    for precision in ("32", "bf16"):
        times = []
        for _ in range(ROUNDS):
            flipped, theirs = timed(lambda: metric(model, a_batch=maps.numpy()[:, None].copy(), **arrays))
            deleted, ours = timed(lambda p=precision: deletion(model, images, maps, targets, steps=steps, precision=p))
            times.append((ours, theirs, theirs / ours))
        (ours, theirs, ratio), (_, _, least), (_, _, most) = (f(times, axis=0) for f in (np.median, np.min, np.max))
        flipped = np.array(flipped)
        areas = (flipped[:, :-1].sum(1) + (deleted.probabilities[:, 0] + flipped[:, -1]) / 2) / steps
        print(
            f"deletion, {steps} steps, precision {precision}: {ours:.1f} s against {theirs:.1f} s of Quantus' PixelFlipping, "
            f"{ratio:.2f} × as fast ({least:.2f} to {most:.2f}), greatest difference of areas {np.abs(areas - deleted.area).max():.0e}"
        )


def filling(images: Tensor, maps: Tensor) -> None:
    for share in (0.1, 0.5, 0.9):
        missing = maps < maps.flatten(1).quantile(share, dim=1)[:, None, None]
        found, ours = timed(lambda m=missing: imputed(images, m, noise=0))
        solver = NoisyLinearImputer(noise=0)
        expected, theirs = timed(
            lambda m=missing, s=solver: [s(i, 1 - k.float()) for i, k in zip(images, m, strict=True)]
        )
        error = (found - torch.stack(expected))[missing.unsqueeze(1).expand_as(images)].abs().mean()
        print(
            f"{share:.0%} filled in: {ours:.2f} s against {theirs:.2f} s, {theirs / ours:.1f} × faster, mean error {error:.4f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100)
    number = parser.parse_args().images
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=7).eval()
    coarse = torch.randn(number, 3, 28, 28), torch.rand(number, 1, 7, 7)
    images, maps = (F.interpolate(t, (SIDE, SIDE), mode="bilinear") for t in coarse)
    with torch.inference_mode():
        targets = torch.cat([model(part).argmax(1) for part in images.split(25)])
    print(f"{torch.get_num_threads()} threads, {number} images of {SIDE}×{SIDE}, ResNet18, {STEPS} steps")
    curves(model, images, maps.squeeze(1), targets)
    flipping(model, images[:8], maps[:8].squeeze(1), targets[:8])
    filling(images[:8], maps[:8].squeeze(1))


if __name__ == "__main__":
    main()
