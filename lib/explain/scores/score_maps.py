"""Every score of maps by name, image by image, and whether more of it is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from lib.errors import WorkbookValueError, choose
from lib.explain.methods.targets import Targets
from lib.explain.scores.deletion_insertion import Curves, deletion, insertion
from lib.explain.scores.mask_scores import energy_inside, overlap, pointing_game
from lib.explain.scores.perturbed_inference import BATCH, Probe
from lib.explain.scores.road import road


@dataclass(frozen=True)
class Asked:
    """What maps are scored on."""

    model: nn.Module
    images: Tensor  # float [N, 3, H, W]
    targets: Tensor  # [N]
    masks: np.ndarray | None  # bool [N, H, W]
    steps: int
    how: dict[str, int | str]  # batch size and precision


@dataclass(frozen=True)
class Score:
    """`of(asked, maps)` gives [N]; `best` is +1 where more is better and −1 where less is."""

    of: Callable[[Asked, Tensor], np.ndarray]
    best: int
    masks: bool = False  # whether the truth is needed
    hits: bool = False  # whether an image has 1 or 0, but for ties


def _curve(way: Callable[..., Curves]) -> Callable[[Asked, Tensor], np.ndarray]:
    def area(on: Asked, maps: Tensor) -> np.ndarray:
        return way(on.model, on.images, maps, on.targets, steps=on.steps, **on.how).area

    return area


def _road(order: str) -> Callable[[Asked, Tensor], np.ndarray]:
    return lambda on, maps: road(on.model, on.images, maps, on.targets, order=order, **on.how).mean(1)


SCORES: dict[str, Score] = {
    "deletion": Score(_curve(deletion), best=-1),
    "insertion": Score(_curve(insertion), best=+1),
    "ROAD MoRF": Score(_road("MoRF"), best=-1),
    "ROAD LeRF": Score(_road("LeRF"), best=+1),
    "pointing game": Score(lambda on, maps: pointing_game(maps, on.masks), best=+1, masks=True, hits=True),
    "energy inside": Score(lambda on, maps: energy_inside(maps, on.masks), best=+1, masks=True),
    "overlap": Score(lambda on, maps: overlap(maps, on.masks), best=+1, masks=True),
}


def score_maps(
    model: nn.Module,
    images: Tensor,
    maps: Mapping[str, Tensor],
    targets: Targets = None,
    masks: np.ndarray | None = None,
    *,
    scores: Sequence[str] | None = None,
    steps: int = 50,
    batch_size: int = BATCH,
    precision: str = "32",
) -> dict[str, dict[str, np.ndarray]]:
    """Every method's maps on the same images: {method: {score: [N]}}, each score a fraction.

    Args:
        model, images, targets: see `lib.explain.explain`; without targets the predicted classes count.
        maps: [N, H, W] by method.
        masks: bool [N, H, W], the truth; an image with an empty one has NaN where it is needed.
        scores: names in `SCORES`; None are all, but for those that need masks where there are none.
        steps: of deletion and insertion.
        batch_size, precision: see `lib.explain.deletion`.

    Raises:
        WorkbookValueError: an unknown score, one that needs masks without any, or what does not fit together.
    """
    if not maps:
        raise WorkbookValueError("There are no maps to score: give {method: explain(model, images, method=method)}.")
    names = [name for name, score in SCORES.items() if masks is not None or not score.masks]
    names = names if scores is None else [choose("score", name, SCORES) for name in scores]
    for name in names:
        if SCORES[name].masks and masks is None:
            raise WorkbookValueError(f"{name!r} needs masks of the objects: give masks, or leave the score out.")
    how = {"batch_size": batch_size, "precision": precision}
    on = Asked(model, images, Probe(model, images, targets, **how).targets, masks, steps, how)
    return {method: {name: SCORES[name].of(on, each) for name in names} for method, each in maps.items()}
