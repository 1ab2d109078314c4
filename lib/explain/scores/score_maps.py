"""Every score of maps by name, image by image, what it asks, and whether more of it is better."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor, nn

from lib.errors import WorkbookValueError, choose
from lib.explain.methods.explain import checked_images, methods_of
from lib.explain.methods.target_objects import Target
from lib.explain.methods.targets import Targets, given_objects
from lib.explain.scores.complexity import entropy, sparseness
from lib.explain.scores.deletion_insertion import deletion, insertion
from lib.explain.scores.infidelity import Removal
from lib.explain.scores.mask_scores import energy_inside, overlap, pointing_game
from lib.explain.scores.perturbed_inference import BATCH, PerturbedInference
from lib.explain.scores.random_logit import random_logit
from lib.explain.scores.road import road_probabilities
from lib.explain.scores.robustness import Moves, moves
from lib.progress import Progress

# What a score asks. By default those are taken that ask whether a map is true, the first two: a map may be robust, and
# simple, that knows nothing of the network, and the class may turn a map about that was wrong before.
CRITERIA = ("faithfulness", "localisation", "robustness", "randomisation", "complexity")
OF_TRUTH = ("faithfulness", "localisation")


@dataclass(frozen=True)
class MapsOfMethod:
    """What a score may ask of one method's maps; whatever several scores ask is answered once."""

    method: str
    maps: Tensor  # [N, H, W]
    masks: np.ndarray | None
    inference: PerturbedInference
    removal: Removal  # shared by all methods
    steps: int

    @cached_property
    def moves(self) -> Moves:
        """How far the method's maps move when the images do, explained once for both scores of robustness; see `moves`."""
        return moves(*self._explained, batch_size=self.inference.batch_size)

    @property
    def random_logit(self) -> np.ndarray:
        """[N]: how like each map is that of another class; see `lib.explain.scores.random_logit`."""
        return random_logit(*self._explained, batch_size=self.inference.batch_size)

    @property
    def _explained(self) -> tuple[nn.Module, Tensor, Targets, str]:
        """What is explained anew, by which method."""
        return self.inference.model, self.inference.images, self.inference.targets, self.method


@dataclass(frozen=True)
class Score:
    """`of` gives [N] of a `MapsOfMethod`."""

    of: Callable[[MapsOfMethod], np.ndarray]
    best: int  # +1 where more is better and −1 where less is
    criterion: str  # one of `CRITERIA`
    bounds: tuple[float, float] = (0, 1)  # what it can be
    hits: bool = False  # whether an image has 1 or 0, but for ties
    explains: bool = False  # whether the method has to make further maps: its name tells how, and it takes long

    @property
    def needs_masks(self) -> bool:
        """Whether it compares maps with the objects' masks, as all scores of localisation do."""
        return self.criterion == "localisation"


SCORES: dict[str, Score] = {
    "deletion": Score(lambda m: deletion.curves(m.inference, m.maps, m.steps).area, -1, "faithfulness"),
    "insertion": Score(lambda m: insertion.curves(m.inference, m.maps, m.steps).area, +1, "faithfulness"),
    "ROAD MoRF": Score(lambda m: road_probabilities(m.inference, m.maps, "MoRF").mean(1), -1, "faithfulness"),
    "ROAD LeRF": Score(lambda m: road_probabilities(m.inference, m.maps, "LeRF").mean(1), +1, "faithfulness"),
    "infidelity": Score(lambda m: m.removal.infidelity(m.maps), -1, "faithfulness"),
    "pointing game": Score(lambda m: pointing_game(m.maps, m.masks), +1, "localisation", hits=True),
    "energy inside": Score(lambda m: energy_inside(m.maps, m.masks), +1, "localisation"),
    "overlap": Score(lambda m: overlap(m.maps, m.masks), +1, "localisation"),
    "max-sensitivity": Score(lambda m: m.moves.max_sensitivity, -1, "robustness", (0, np.inf), explains=True),
    "local Lipschitz": Score(lambda m: m.moves.local_lipschitz, -1, "robustness", (0, np.inf), explains=True),
    "random logit": Score(lambda m: m.random_logit, -1, "randomisation", (-1, 1), explains=True),
    "sparseness": Score(lambda m: sparseness(m.maps), +1, "complexity"),
    "entropy": Score(lambda m: entropy(m.maps), -1, "complexity"),
}


def choose_scores(names: str | None = None) -> list[str]:
    """The scores that `names` tells, by comma; for None those beside truth that make no further maps.

    Raises:
        WorkbookValueError: an unknown name.
    """
    named = [choose("score", name.strip(), SCORES) for name in (names or "").split(",") if name.strip()]
    return named or [name for name, score in SCORES.items() if score.criterion not in OF_TRUTH and not score.explains]


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
    """Every method's maps on the same images: {method: {score: [N]}}, most of them fractions (see `Score.bounds`).

    Args:
        model, images, targets: see `lib.explain.explain`; without targets the predicted classes count. Of a target that is no
            class the number that it makes of an answer stands for the probability; random logit asks for classes.
        maps: [N, H, W] by method. Scores that make further maps make them by the method's name, in full precision.
        masks: bool [N, H, W], the truth; an image with an empty one has NaN where it is needed.
        scores: names in `SCORES`; None are all of `OF_TRUTH`, but for those that need masks where there are none.
        steps: of deletion and insertion.
        batch_size, precision: see `lib.explain.deletion`.

    Raises:
        WorkbookValueError: an unknown score, one that needs masks without any or a method by a name that is none, or what
            does not fit together.
    """
    if not maps:
        raise WorkbookValueError("There are no maps to score: give {method: explain(model, images, method=method)}.")
    checked_images(images)
    objects = given_objects(targets, len(images))
    names = _names(model, objects[0][0] if objects else None, maps, masks is not None, scores)
    inference = PerturbedInference(model, images, targets, batch_size, precision)
    removal = Removal(inference)

    with Progress(len(maps) * len(names), "scoring maps", "scores") as bar:

        def scored(of: MapsOfMethod, name: str) -> np.ndarray:
            values = SCORES[name].of(of)
            bar.advance(note=f"{name} of {of.method}")
            return values

        given = [MapsOfMethod(method, of, masks, inference, removal, steps) for method, of in maps.items()]
        return {of.method: {name: scored(of, name) for name in names} for of in given}


def _names(
    model: nn.Module,
    target: Target | None,
    methods: Mapping[str, Tensor],
    has_masks: bool,
    scores: Sequence[str] | None,
) -> list[str]:
    """The scores that are meant, if they can be had of maps with such names."""
    if scores is None:
        known = {name: score for name, score in SCORES.items() if score.criterion in OF_TRUTH}
        return [name for name, score in known.items() if has_masks or not score.needs_masks]
    names = list(dict.fromkeys(choose("score", name, SCORES) for name in scores))
    for name in names:
        if SCORES[name].needs_masks and not has_masks:
            raise WorkbookValueError(f"{name!r} needs masks of the objects: give masks, or leave the score out.")
    explaining = [name for name in names if SCORES[name].explains]
    unknown = set(methods).difference(methods_of(model, target)) if explaining else ()
    if unknown:
        raise WorkbookValueError(
            f"{explaining[0]!r} makes further maps, and {min(unknown)!r} is no method of this {type(model).__name__} that "
            "could: give maps by the names of methods, or leave the score out."
        )
    return names
