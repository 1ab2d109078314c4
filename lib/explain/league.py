"""The league of explanations: every method by every score on the same images, and whether it beats knowing nothing.

What is resampled are groups of images (lesions), as everywhere in the workbook. A method is compared with the best of
the floors, image by image and network by network. p is the larger of two: that of the interval of the mean difference
(`lib.report.uncertainty`), and that of a permutation test which flips the signs of whole groups. In simulation the first
alone finds 7 to 8 % of null differences significant with 40 images of one network and up to 21 % with 10; both together
1 to 8 % with 40 and 0 to 10 % with 10, most where differences are skewed: what is not far below 0.05 is no finding.
With one network p speaks of further images for that network, with several also of further
trainings. Holm's correction is over the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import permutation_test

from lib.errors import WorkbookValueError, unknown
from lib.explain.methods import FLOORS
from lib.explain.scores import SCORES
from lib.report.resampling import resampled
from lib.report.statistics import estimate_of, holm
from lib.report.uncertainty import uncertainty

LEVEL = 0.05
FLIPS = 9999  # of signs; all there are, where there are fewer
MARK = "×"  # at what does not beat the floors

Scored = Mapping[str, Mapping[str, np.ndarray]]


def league_table(scored: Scored, groups: Sequence[str], floors: Sequence[str] | None = None) -> pd.DataFrame:
    """A row a method and score.

    Columns: method, score, mean, low, high (95 % interval); floor, the best of the floors by that score; gain over it,
    positive where the method is better, with gain_low and gain_high; p, two-sided, and p_holm; beats, whether the gain is
    positive and p_holm below 0.05 (None for the floors themselves); images that the score knows.

    Args:
        scored: what `score_maps` gives, {method: {score: [N]}}, or [S, N] for S networks on the same images.
        groups: [N], the group of each image.
        floors: methods that know nothing; None for those of `FLOORS` that were scored.

    Raises:
        WorkbookValueError: there is no floor, or one is missing, scores of other images, or images of a single group.
    """
    floors = [name for name in FLOORS if name in scored] if floors is None else floors
    if not floors:
        raise WorkbookValueError(
            f"There is no floor among the methods scored ({', '.join(scored)}): score {', '.join(FLOORS)}, too."
        )
    for floor in floors:
        if floor not in scored:
            raise unknown("floor", floor, scored)
    names = list(next(iter(scored.values())))
    groups, rows = np.asarray(groups), []
    for name in names:
        values = {method: np.atleast_2d(of[name]) for method, of in scored.items()}
        rows += _rows_of(name, values, groups, floors)
    table = pd.DataFrame(rows)
    table["p_holm"] = holm([None if pd.isna(p) else p for p in table["p"]])
    table["p_holm"] = table["p_holm"].astype(float)
    table["beats"] = [
        None if row.method in floors else bool(row.gain > 0 and row.p_holm < LEVEL) for row in table.itertuples()
    ]
    return table


def standing(table: pd.DataFrame) -> pd.DataFrame:
    """The league to read: a row a method, a column a score, "mean [low, high]", with `MARK` at what does not beat the
    best floor. An arrow at a score tells which way is better."""
    cells = [
        f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]" + (f" {MARK}" if row.beats is False else "")
        for row in table.itertuples()
    ]
    arrows = {name: f"{name} {'↑' if SCORES[name].best > 0 else '↓'}" for name in table["score"].unique()}
    wide = table.assign(cell=cells, score=table["score"].map(arrows))
    return wide.pivot_table(index="method", columns="score", values="cell", aggfunc="first", sort=False)


def _rows_of(name: str, values: dict[str, np.ndarray], groups: np.ndarray, floors: Sequence[str]) -> list[dict]:
    """The rows of one score, on the images that every method has it for."""
    if {each.shape[1] for each in values.values()} != {len(groups)}:
        raise WorkbookValueError(f"{name!r} and the groups are of different numbers of images: score the same images.")
    best = SCORES[name].best
    known = np.isfinite(np.concatenate(list(values.values()))).all(axis=0)
    if not known.any():
        raise WorkbookValueError(f"No image has {name!r} for every method: leave the score out.")
    values, groups = {method: each[:, known] for method, each in values.items()}, groups[known]
    if (number := len(np.unique(groups))) < 2:
        raise WorkbookValueError(f"{name!r} is known for images of one group only: an interval needs at least two.")
    floor = max(floors, key=lambda each: best * values[each].mean())
    weights = resampled(groups).weights
    weights = weights / weights.sum(axis=1, keepdims=True)
    rows = []
    for method, each in values.items():
        found = estimate_of(each.mean(axis=1), weights @ each.T, each.shape[1], number)
        row = {"method": method, "score": name, "mean": found.mean, "low": found.low, "high": found.high}
        gain = _gain(best * (each - values[floor]), weights, groups)
        rows.append(row | {"floor": floor} | gain | ({"p": np.nan} if method in floors else {}))
    return rows


def _gain(better: np.ndarray, weights: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """How much better a method is, [S, N] image by image, with interval and p."""
    gain = float(better.mean())
    error = uncertainty([better.mean(axis=1)], [weights @ better.T])
    low, high = error.interval(gain)
    p = max(error.p_value(gain), _sign_flips(better.mean(axis=0), groups))
    return {"gain": gain, "gain_low": low, "gain_high": high, "p": p, "images": better.shape[1]}


def _sign_flips(better: np.ndarray, groups: np.ndarray) -> float:
    """Two-sided p of the hypothesis that the difference of a group [N] is as likely to be the other way round."""
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=better)
    flipped = permutation_test(
        (sums,), np.mean, permutation_type="samples", vectorized=True, n_resamples=FLIPS, random_state=0
    )
    return float(flipped.pvalue)
