"""Every score of maps by name, image by image, and whether more of it is better."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from lib.errors import WorkbookValueError, choose
from lib.explain.methods.targets import Targets
from lib.explain.scores.deletion_insertion import deletion, insertion
from lib.explain.scores.mask_scores import energy_inside, overlap, pointing_game
from lib.explain.scores.perturbed_inference import BATCH, PerturbedInference
from lib.explain.scores.road import road_probabilities
from lib.progress import Progress


@dataclass(frozen=True)
class Score:
    """`of` gives [N]: of (maps, masks) where it `needs_masks`, else of (inference, maps, steps)."""

    of: Callable[..., np.ndarray]
    best: int  # +1 where more is better and −1 where less is
    needs_masks: bool = False
    hits: bool = False  # whether an image has 1 or 0, but for ties


SCORES: dict[str, Score] = {
    "deletion": Score(lambda inference, maps, steps: deletion.curves(inference, maps, steps).area, best=-1),
    "insertion": Score(lambda inference, maps, steps: insertion.curves(inference, maps, steps).area, best=+1),
    "ROAD MoRF": Score(lambda inference, maps, _: road_probabilities(inference, maps, "MoRF").mean(1), best=-1),
    "ROAD LeRF": Score(lambda inference, maps, _: road_probabilities(inference, maps, "LeRF").mean(1), best=+1),
    "pointing game": Score(pointing_game, best=+1, needs_masks=True, hits=True),
    "energy inside": Score(energy_inside, best=+1, needs_masks=True),
    "overlap": Score(overlap, best=+1, needs_masks=True),
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
    names = [name for name, score in SCORES.items() if masks is not None or not score.needs_masks]
    names = names if scores is None else [choose("score", name, SCORES) for name in scores]
    for name in names:
        if SCORES[name].needs_masks and masks is None:
            raise WorkbookValueError(f"{name!r} needs masks of the objects: give masks, or leave the score out.")
    inference = PerturbedInference(model, images, targets, batch_size, precision)

    with Progress(len(maps) * len(names), "scoring maps", "scores") as bar:

        def scored(method: str, name: str) -> np.ndarray:
            score, of = SCORES[name], maps[method]
            values = score.of(of, masks) if score.needs_masks else score.of(inference, of, steps)
            bar.advance(note=f"{name} of {method}")
            return values

        return {method: {name: scored(method, name) for name in names} for method in maps}
