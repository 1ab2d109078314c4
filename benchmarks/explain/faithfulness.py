"""Deletion and insertion in batches over images and steps against the loop over both, and deletion against Quantus' where
that is installed; ROAD's filling against a solver."""

import importlib.util
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms.functional import gaussian_blur

from benchmarks.program import run
from benchmarks.rows import NotRun, Row
from benchmarks.timing import side_by_side, timed, timed_turns
from lib.explain import deletion, insertion
from lib.explain.scores.deletion_insertion import Curves
from lib.explain.scores.imputation import imputed

STEPS, SIDE = 50, 224
FEATURES = (
    3136,
    1024,
)  # in a step of Quantus, which takes divisors of the pixels only: 48 steps of all three colours; 147
ERRORS = {"32": 1e-4, "bf16": 0.05}  # of an area, at most


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


def peak(dtype: torch.dtype) -> float:
    """Floating point operations a second of a large matrix product, which no convolution on these cores surpasses by much."""
    square = torch.randn(2048, 2048).to(dtype)
    return 2 * len(square) ** 3 / min(timed(lambda: square @ square)[1].wall for _ in range(9))


def curves(model: nn.Module, images: Tensor, maps: Tensor, targets: Tensor, rounds: int) -> Iterator[Row]:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(images[:1])
    work = counter.get_total_flops() * len(images) * (STEPS + 1)
    deletion(model, images[:1], maps[:1], targets[:1], steps=STEPS)  # warm
    for name, ours, coming in (("deletion", deletion, False), ("insertion", insertion, True)):
        for precision, dtype in (("32", torch.float32), ("bf16", torch.bfloat16)):
            turns = []
            for _ in range(rounds):
                expected, looped = timed(lambda c=coming: loop(model, images, maps, targets, c))
                found, batched = timed(
                    lambda f=ours, p=precision: f(model, images, maps, targets, steps=STEPS, precision=p)
                )
                turns.append((looped, batched))
            assert np.abs(found.area - expected).max() < ERRORS[precision]
            most = turns[-1][0].wall * peak(dtype) / work  # if these cores did nothing but multiply at their peak
            row = timed_turns(f"{name} of {len(images)} images one by one", f"in batches, precision {precision}", turns)
            yield replace(row, note=f"{row.note}; at most {most:.1f} ×")


def flipping(model: nn.Module, images: Tensor, maps: Tensor, targets: Tensor, rounds: int) -> Iterator[Row | NotRun]:
    """Quantus' PixelFlipping beside deletion on the same steps."""
    steps, what = 3 * SIDE * SIDE // FEATURES, f"Quantus' PixelFlipping of {len(images)} images"
    if importlib.util.find_spec("quantus") is None:
        yield NotRun(f"{what} ÷ deletion", "it needs quantus, which make test installs")
        return
    import quantus

    quiet = {"disable_warnings": True, "display_progressbar": False, "normalise": False, "abs": False}
    metric = quantus.PixelFlipping(features_in_step=FEATURES, perturb_baseline=0.0, **quiet)
    arrays = {"x_batch": images.numpy(), "y_batch": targets.numpy(), "softmax": True, "device": "cpu"}

    def theirs() -> np.ndarray:
        return np.array(metric(model, a_batch=maps.numpy()[:, None].copy(), **arrays))

    for precision in ("32", "bf16"):

        def ours(precision: str = precision) -> Curves:
            return deletion(model, images, maps, targets, steps=steps, precision=precision)

        flipped, deleted = theirs(), ours()
        areas = (flipped[:, :-1].sum(1) + (deleted.probabilities[:, 0] + flipped[:, -1]) / 2) / steps
        assert np.abs(areas - deleted.area).max() < ERRORS[precision]
        yield side_by_side(what, f"deletion, {steps} steps, precision {precision}", theirs, ours, rounds)


def filling(images: Tensor, maps: Tensor, rounds: int) -> Iterator[Row]:
    for share in (0.1, 0.5, 0.9):
        missing = maps < maps.flatten(1).quantile(share, dim=1)[:, None, None]
        solver = NoisyLinearImputer(noise=0)
        works = (
            lambda m=missing, s=solver: [s(i, 1 - k.float()) for i, k in zip(images, m, strict=True)],
            lambda m=missing: imputed(images, m, noise=0),
        )
        yield side_by_side(f"{share:.0%} of {len(images)} images filled in by a solver", "ROAD's here", *works, rounds)


def rows(quick: bool = False, images: int = 8) -> Iterator[Row | NotRun]:
    torch.manual_seed(0)
    model, number, rounds = torchvision.models.resnet18(num_classes=7).eval(), 2 if quick else images, 1 if quick else 3
    coarse = torch.randn(number, 3, 28, 28), torch.rand(number, 1, 7, 7)
    shown, maps = (F.interpolate(t, (SIDE, SIDE), mode="bilinear") for t in coarse)
    maps = maps.squeeze(1)
    with torch.inference_mode():
        targets = torch.cat([model(part).argmax(1) for part in shown.split(25)])
    yield from curves(model, shown, maps, targets, rounds)
    yield from flipping(model, shown[:8], maps[:8], targets[:8], rounds)
    yield from filling(shown[:8], maps[:8], rounds)


if __name__ == "__main__":
    run(rows)
