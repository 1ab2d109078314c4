"""The leaderboard of explanations: every method by every score on the same images, and whether it beats maps that know
nothing of the network.

What is resampled are groups of images (lesions), as everywhere in the workbook. A method is compared with the best of
the reference maps, image by image and network by network. p is the larger of two: that of the interval of the mean difference
(`lib.statistics.intervals`), and that of a permutation test which flips the signs of whole groups. In simulation the first
alone finds 7 to 8 % of null differences significant with 40 images of one network and up to 21 % with 10; both together
1 to 8 % with 40 and 0 to 10 % with 10, most where differences are skewed: what is not far below 0.05 is no finding.
With one network p speaks of further images for that network, with several also of further
trainings. Holm's correction is over the whole table.

Of hits and misses (the pointing game) resampling tells too little: where all are hits, all resamples are. In simulation
its interval of 20 images covers a share of 0.97 in 43 % of the cases. There an interval reaches at least as far as
Wilson's (JASA 1927), each group one trial, and that of a gain as far as Wilson's of the shares won and lost put together
(Newcombe, Statistics in Medicine 1998, without the correlation): 94 to 100 %.
"""

import logging
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import permutation_test
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from lib.errors import WorkbookValueError, choose
from lib.explain.methods.explain import REFERENCE_MAPS
from lib.explain.scores.score_maps import SCORES
from lib.statistics.estimates import estimate_of, holm
from lib.statistics.intervals import uncertainty
from lib.statistics.resampling import mean_samples

log = logging.getLogger(__name__)

LEVEL = 0.05
FLIPS = 9999  # of signs; all there are, where there are fewer
SMALL = 0.01  # means of a score below it are counted in a power of ten
MARK = "×"  # at what does not beat the best reference map

Scored = Mapping[str, Mapping[str, np.ndarray]]


def leaderboard(scored: Scored, groups: Sequence[str]) -> pd.DataFrame:
    """A row a method and score.

    Columns: method, score, mean, low, high (95 % interval); reference, the best reference map by that score; gain over
    it, positive where the method is better, with gain_low and gain_high; p, two-sided, and p_holm; beats, whether the gain
    is positive and p_holm below 0.05 (None for the reference maps themselves); images that the score knows. A score that
    every method has for images of fewer than two groups, as those that need masks where few images have one, is left out.

    Args:
        scored: what `score_maps` gives, {method: {score: [N]}}, or [S, N] for S networks on the same images.
        groups: [N], the group of each image.

    Raises:
        WorkbookValueError: there is no reference map (`REFERENCE_MAPS`), a score is unknown or not every method's, scores
            of other images, or no score for images of two groups.
    """
    groups, rows = np.asarray(groups), []
    references = references_among(scored)
    for name, values in by_score(scored, groups).items():
        rows += _rows_of(name, values, groups, references)
    if not rows:
        raise WorkbookValueError(
            "No score is known for images of two groups (lesions, photographs), which an interval needs: score more images."
        )
    return with_verdicts(pd.DataFrame(rows), references)


def means_of(scored: Scored) -> pd.DataFrame:
    """The mean of each method (row) in each score over the images that it is known for: all that can be told of a single case."""
    means = {method: {name: np.nanmean(of) for name, of in scores.items()} for method, scores in scored.items()}
    heads = {name: f"{name} {'↑' if SCORES[name].best > 0 else '↓'}" for scores in scored.values() for name in scores}
    return pd.DataFrame(means).T.rename(columns=heads).rename_axis("method")


def references_among(scored: Scored) -> list[str]:
    """The reference maps among the methods.

    Raises:
        WorkbookValueError: there is none.
    """
    references = [name for name in REFERENCE_MAPS if name in scored]
    if not references:
        raise WorkbookValueError(
            f"No reference map is among the methods scored ({', '.join(scored)}): score {', '.join(REFERENCE_MAPS)}, too."
        )
    return references


def by_score(scored: Scored, groups: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """{score: {method: [S, N]}}, the scores by their own names, if every method has the same of the same images.

    Raises:
        WorkbookValueError: it has not, or there is no score, or an unknown one.
    """
    names = list(next(iter(scored.values())))
    if not names:
        raise WorkbookValueError("No score is given: score_maps gives some for each method.")
    for method, scores in scored.items():
        if set(scores) != set(names):
            raise WorkbookValueError(
                f"{method!r} has the scores {', '.join(scores)}, other methods {', '.join(names)}: score all by the same."
            )
    found = {}
    for name in names:
        values = {method: np.atleast_2d(np.asarray(scores[name], float)) for method, scores in scored.items()}
        shapes = {each.shape for each in values.values()}
        if len(shapes) > 1 or {shape[1] for shape in shapes} != {len(groups)}:
            raise WorkbookValueError(
                f"{name!r} has the shapes {', '.join(str(list(shape)) for shape in sorted(shapes))} of networks and images, for "
                f"groups of {len(groups)} images: score the same images by the same networks."
            )
        found[choose("score", name, SCORES)] = values
    return found


def with_verdicts(table: pd.DataFrame, references: Sequence[str]) -> pd.DataFrame:
    """`table` with p_holm, corrected over all of it, and beats, whether a method is surely better than the best reference."""
    table["p_holm"] = pd.Series(holm([None if pd.isna(p) else p for p in table["p"]]), dtype=float)
    table["beats"] = [
        None if row.method in references else bool(row.gain > 0 and row.p_holm < LEVEL) for row in table.itertuples()
    ]
    return table


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The leaderboard to read: a row a method, a column a score, "mean [low, high]", with `MARK` at what does not beat
    the best reference map. An arrow at a score tells which way is better, and a power of ten in brackets in what it is
    counted where all its means are small."""
    powers = {name: _power(means) for name, means in table.groupby("score")["mean"]}
    cells = [
        f"{row.mean / power:.3f} [{row.low / power:.3f},\N{NO-BREAK SPACE}{row.high / power:.3f}]"
        + (f"\N{NO-BREAK SPACE}{MARK}" if row.beats is False else "")
        for row, power in zip(table.itertuples(), table["score"].map(powers), strict=True)
    ]
    heads = {
        name: f"{name} {'↑' if SCORES[name].best > 0 else '↓'}" + f" ({power:.0e})" * (power < 1)
        for name, power in powers.items()
    }
    wide = table.assign(cell=cells, score=table["score"].map(heads))
    return wide.pivot_table(index="method", columns="score", values="cell", aggfunc="first", sort=False)


def _power(means: pd.Series) -> float:
    """1, or the power of ten of the greatest of `means` where three digits after the point hardly show it."""
    greatest = means.abs().max()
    return 10.0 ** math.floor(math.log10(greatest)) if 0 < greatest < SMALL else 1.0


def _rows_of(name: str, values: dict[str, np.ndarray], groups: np.ndarray, references: Sequence[str]) -> list[dict]:
    """The rows of one score, on the images that every method has it for; none where these are of fewer than two groups."""
    best, hits = SCORES[name].best, SCORES[name].hits
    known = np.isfinite(np.concatenate(list(values.values()))).all(axis=0)
    values, groups = {method: score[:, known] for method, score in values.items()}, groups[known]
    if (number := len(np.unique(groups))) < 2:
        images = f"{known.sum()} of {len(known)} images, which are of {number} group{'s' * (number != 1)}"
        log.warning("%r is known for %s: it is left out, for an interval needs two", name, images)
        return []
    reference = max(references, key=lambda method: best * values[method].mean())
    bounds, rows = _bounds(name, values), []
    for method, score in values.items():
        estimate = estimate_of(mean_samples(score, groups), bounds)
        low, high = estimate.low, estimate.high
        if hits:
            low, high = _wider((low, high), _wilson(estimate.mean, number))
        row = {"method": method, "score": name, "mean": estimate.mean, "low": low, "high": high, "reference": reference}
        gain = gain_of(best * (score - values[reference]), groups, hits and method != reference)
        rows.append(row | gain | ({"p": np.nan} if method in references else {}))
    return rows


def _bounds(name: str, values: dict[str, np.ndarray]) -> tuple[float, float]:
    """What the score can be. A target that is no class has numbers of its own: a bound that they pass is none."""
    (least, most), found = SCORES[name].bounds, np.stack(list(values.values()))
    rounding = 1e-6
    return least if found.min() > least - rounding else -np.inf, most if found.max() < most + rounding else np.inf


def gain_of(better: np.ndarray, groups: np.ndarray, hits: bool = False) -> dict[str, float]:
    """How much better a method is, [S, N] image by image, with interval and p; `hits`: a difference of hits."""
    gain, side = float(better.mean()), mean_samples(better, groups)
    error = uncertainty([side.values], [side.samples])
    low, high = error.interval(gain)
    if hits:
        low, high = _wider((low, high), _won_less_lost(better, len(np.unique(groups))))
        low, high = max(-1.0, low), min(1.0, high)
    p = max(error.p_value(gain), _sign_flips(better.mean(axis=0), groups))
    return {"gain": gain, "gain_low": low, "gain_high": high, "p": p, "images": better.shape[1]}


def _wilson(share: float, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share of hits."""
    low, high = proportion_confint(share * trials, trials, method="wilson")
    return max(0.0, float(low)), min(1.0, float(high))


def _won_less_lost(better: np.ndarray, trials: int) -> tuple[float, float]:
    """Newcombe's 95 % interval of how much more is won than lost, of differences of hits [S, N]."""
    won, lost = better.clip(min=0).mean(), -better.clip(max=0).mean()
    return confint_proportions_2indep(won * trials, trials, lost * trials, trials, method="newcomb", compare="diff")


def _wider(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    return min(first[0], second[0]), max(first[1], second[1])


def _sign_flips(better: np.ndarray, groups: np.ndarray) -> float:
    """Two-sided p of the hypothesis that the difference of a group [N] is as likely to be the other way round."""
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=better)
    flipped = permutation_test(
        (sums,), np.mean, permutation_type="samples", vectorized=True, n_resamples=FLIPS, random_state=0
    )
    return float(flipped.pvalue)
