"""Whether maps point at the place that decides, where that is known: the hits of every method, and of maps that know nothing.

The places are the parts of a set in CUB-200-2011's layout. In the drawn tasks (phantom-needles and its like) they are what
the class is drawn from, by construction, so that a map is right or wrong; in photographs they are parts of the object.
A map hits where its greatest pixel is within `TOLERANCE` of one of them (the pointing game of Zhang et al., arXiv
1608.00507; their tolerance is 15 pixels).

::

    images = select_images(config, prepare(config, store), 200, "classes in turn")
    readable(hits_table(runs, images))  # of runs, one a seed: a row a method
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib import hardware
from lib.data import Truth
from lib.errors import WorkbookValueError, choose
from lib.evaluation.test_images import TestImages, select_images
from lib.explain.methods.explain import REFERENCE_MAPS, choose_methods, explain
from lib.explain.scores.leaderboard import leaderboard
from lib.explain.scores.mask_scores import pointing_game
from lib.progress import Progress
from lib.statistics.estimates import Comparison, difference_of
from lib.statistics.resampling import mean_samples
from lib.training.store import Run, RunStore
from lib.training.training_data import prepare

# Of the side. A map of 5×5 positions that is enlarged has its greatest value all over the outer half of a position at the
# border, whose farthest corner is this far from its middle: the map is not wrong for that.
TOLERANCE = 1 / 8
SCORE = "pointing game"  # in the leaderboard
COMPARED = 300  # test images in a comparison


def place_masks(
    truth: Truth, size: tuple[int, int], parts: Sequence[str] | None = None, tolerance: float = TOLERANCE
) -> np.ndarray:
    """bool [N, H, W]: the pixels whose middle is within `tolerance`, a share of the side, of a visible part.

    Args:
        truth: of N images.
        size: (height, width) in pixels.
        parts: those that count; None are all.

    Raises:
        WorkbookValueError: the images have no parts, or none of such a name.
    """
    if not truth.parts:
        raise WorkbookValueError(
            "These images have no parts, so nobody knows which place decides: take a drawn task, such as phantom-needles, "
            "or a set with part locations, such as CUB-200-2011."
        )
    names = truth.parts if parts is None else [choose("part", part, truth.parts) for part in parts]
    y, x = ((np.arange(side) + 0.5) / side for side in size)
    masks = np.zeros((len(truth.places), *size), dtype=bool)
    for name in names:
        px, py = truth.places[:, truth.parts.index(name)].T[..., None, None]  # [N, 1, 1] each
        masks |= (x - px) ** 2 + (y[:, None] - py) ** 2 <= tolerance**2  # NaN, what cannot be seen, is near nothing
    return masks


def hits_of(
    runs: Sequence[Run], images: TestImages, methods: Sequence[str] | None = None, parts: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """The hits of each method and reference map on the images, [S, N] for S runs, one a seed; NaN where no part is seen.

    Explained is what each network answers, right or wrong.

    Args:
        methods: names in `methods_of(model)`; None are all of the first network's that reports draw. Reference maps are added.
        parts: see `place_masks`.

    Raises:
        WorkbookValueError: no runs, a method that a network has not, images without such parts.
    """
    if not runs:
        raise WorkbookValueError("There are no networks to explain: give runs, one a seed; fit(config) makes them.")
    masks = place_masks(images.truth, images.config.size, parts)
    hits: dict[str, list[np.ndarray]] = {}
    with Progress(len(runs), "explaining", "networks") as bar:
        for run in runs:
            model = run.model().to(hardware.device()).eval()
            batch = images.batch(model)
            methods = choose_methods(model) if methods is None else methods
            for name in dict.fromkeys([*methods, *REFERENCE_MAPS]):
                maps = explain(model, batch, method=name, precision=run.config.precision)
                hits.setdefault(name, []).append(pointing_game(maps, masks))
                bar.advance(0, name)
            bar.advance()
    return {name: np.stack(of_runs) for name, of_runs in hits.items()}


def hits_table(
    runs: Sequence[Run], images: TestImages, methods: Sequence[str] | None = None, parts: Sequence[str] | None = None
) -> pd.DataFrame:
    """`hits_of` as a leaderboard: a row a method with its mean, 95 % interval, gain over the best reference map and p; see
    `lib.explain.leaderboard`, and `readable` there for people."""
    scored = {name: {SCORE: hits} for name, hits in hits_of(runs, images, methods, parts).items()}
    return leaderboard(scored, images.groups)


def compare_hits(runs: Sequence[Run], method: str, count: int = COMPARED) -> Comparison:
    """The hits of a method on `count` test images minus those of the reference map that has most: what a claim measures.

    `runs` are one or more; raises what `hits_of` does.
    """
    config = runs[0].config
    images = select_images(config, prepare(config, RunStore(runs[0].path.parent)), count, "classes in turn")
    hits = hits_of(runs, images, [method])
    best = max(REFERENCE_MAPS, key=lambda name: np.nanmean(hits[name]))
    known = np.isfinite(hits[method]).all(0)
    sides = [mean_samples(hits[name][:, known], images.groups[known]) for name in (method, best)]
    return difference_of(SCORE, *sides, same_networks=True)
