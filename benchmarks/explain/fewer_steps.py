"""Could deletion and insertion ask less of the network? Coarse-to-fine steps on the curves of a real one, and how much of
each layer changes between two steps. The network and the photographs are notebook 10's."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from benchmarks.explain.faithfulness import STEPS
from benchmarks.program import run
from benchmarks.rows import Row, of_counts, of_turns
from lib.explain import deletion, explain, insertion
from lib.explain.scores.deletion_insertion import Curves
from lib.explain.scores.pixel_ranks import ranks
from lib.photographs.brought_network import bring_network
from lib.photographs.photographs import take_photographs
from lib.photographs.wheels import NETWORK, wheel_network, wheel_photographs

PHOTOGRAPHS = 4
METHODS = "grad-cam", "layer-cam", "gradient-x-input", "random", "noise"
ENOUGH = 1e-3  # by so much may an area be off
STARTS, TOLERANCES = (4, 8, 10, 16), (0.002, 0.005, 0.01, 0.02)
RESNET18 = [
    (7, 2, 118),
    (3, 2, 0),
    *[(3, 1, 116)] * 4,
    *[(3, 2, 64), *[(3, 1, 116)] * 3] * 3,
]  # kernel, stride, million MACs


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


def compared(name: str, curves: np.ndarray) -> Iterator[Row]:
    found = {}
    for start, tolerance in product(STARTS, TOLERANCES):
        errors, asked = np.array([coarse_to_fine(curve, start, tolerance) for curve in curves]).T
        found[start, tolerance] = asked.mean(), errors.max()
    fewest = min(asked for asked, error in [*found.values(), (STEPS + 1, 0)] if error <= ENOUGH)
    against = f"coarse to fine, every area within {ENOUGH}"
    yield of_counts(f"steps that {name} asks", against, STEPS + 1, fewest)
    off = np.abs(np.diff(curves, 2)).mean(1) / 2
    yield of_turns(f"how far a step of {name} is off the line of its neighbours", "a probability of 1", off.tolist())


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


def rows(quick: bool = False) -> Iterator[Row]:
    with TemporaryDirectory() as folder:
        brought = bring_network(NETWORK, wheel_network(Path(folder)))
    model = brought.net
    photographs = take_photographs(wheel_photographs()[: 1 if quick else PHOTOGRAPHS], brought)
    images = photographs.batch(model)
    maps = {name: explain(model, images, method=name) for name in METHODS}
    for name, score in (("deletion", deletion), ("insertion", insertion)):
        every = [score(model, images, of, steps=STEPS).probabilities for of in maps.values()]
        yield from compared(name, np.concatenate(every))
    shares = [changed(of) for of in maps.values()]
    name = f"ResNet18's work at positions that change from one of {STEPS} steps to the next"
    yield of_turns(f"{name}, methods by turns", "all of it", shares)


if __name__ == "__main__":
    run(rows)
