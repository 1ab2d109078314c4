"""Which method is best by all scores together, and how far the scores disagree (after LATEC: Klein et al., NeurIPS 2024,
arXiv 2409.16756).

On every image each score ranks the methods, reference maps among them: 1 is the best, and equals share the mean of their
ranks. A method's rank is the mean over scores and images, every score counting alike; its disagreement is the standard
deviation over the scores of its mean rank by each. LATEC ranks what is left of the scores after the images; ranks of single
images have a mean with the leaderboard's intervals, tests and best reference map, whatever the units of the scores.

Agreement of all scores is told by Kendall's W of the order in which each puts the methods, corrected for equals: 1 where all
have the same order, 1/k on average where k scores order them independently.

A rank knows no distance, and is no better than what it is a rank over: many scores of one kind outvote one of another, and
some are won by maps that know nothing (the centre never moves, a drawn dot is sparse). So a reference map can stand high.
Simulated with 40 images of one network, four methods and three reference maps that do not differ, p is below 0.05 in 6 % (with
10 images in 4 %) of the comparisons, and no method beat the best reference map in any of 150 studies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, rankdata

from lib.errors import WorkbookValueError
from lib.explain.scores.leaderboard import MARK, Scored, by_score, gain_of, references_among, with_verdicts
from lib.explain.scores.score_maps import SCORES
from lib.statistics.estimates import estimate_of
from lib.statistics.resampling import mean_samples


@dataclass(frozen=True)
class Ranking:
    """Methods in the order of their rank.

    Attributes:
        table: a row a method: method, rank, low, high (95 % interval), disagreement; reference, the reference map with the best
            rank; gain over it in ranks, positive where the method is better, with gain_low, gain_high, p, p_holm and beats as in
            `leaderboard`; images.
        by_score: the mean rank of each method (row) by each score (column).
        concordance: Kendall's W; NaN of fewer than two scores or three methods.
    """

    table: pd.DataFrame
    by_score: pd.DataFrame
    concordance: float


def rank_methods(scored: Scored, groups: Sequence[str]) -> Ranking:
    """The ranks of methods over all scores.

    Args:
        scored: what `score_maps` gives, {method: {score: [N]}}, or [S, N] for S networks on the same images. A score counts on
            the images that every method has it for.
        groups: [N], the group of each image.

    Raises:
        WorkbookValueError: what `leaderboard` raises.
    """
    groups, references, methods = np.asarray(groups), references_among(scored), list(scored)
    values = by_score(scored, groups)
    ranks = np.stack([_ranks(np.stack(list(of.values())), SCORES[name].best) for name, of in values.items()])
    known = np.isfinite(ranks).any(axis=(0, 1, 2))  # images
    if len(np.unique(groups[known])) < 2:
        raise WorkbookValueError(
            "No score is known for images of two groups (lesions, photographs), which an interval needs: score more images."
        )
    of_scores = pd.DataFrame(np.nanmean(ranks[..., known], axis=(2, 3)).T, methods, list(values)).dropna(axis=1)
    ranks, groups = np.nanmean(ranks[..., known], axis=0), groups[known]  # [M, S, N]
    best = min(references, key=lambda name: ranks[methods.index(name)].mean())
    rows = []
    for method, of_method in zip(methods, ranks, strict=True):
        estimate = estimate_of(mean_samples(of_method, groups), (1, len(methods)))
        row = {"method": method, "rank": estimate.mean, "low": estimate.low, "high": estimate.high}
        row |= {"disagreement": of_scores.loc[method].std(ddof=0), "reference": best}
        gain = gain_of(ranks[methods.index(best)] - of_method, groups)
        rows.append(row | gain | ({"p": np.nan} if method in references else {}))
    table = with_verdicts(pd.DataFrame(rows), references).sort_values("rank", ignore_index=True)
    return Ranking(table, of_scores.loc[table["method"]], _concordance(of_scores))


def readable(ranking: Ranking) -> pd.DataFrame:
    """The ranks to read: "mean [low, high]" of each method, best first, with `MARK` at what does not beat the best reference
    map, and its disagreement."""
    cells = {
        row.method: {
            f"rank of {len(ranking.table)}": f"{row.rank:.1f} [{row.low:.1f},\N{NO-BREAK SPACE}{row.high:.1f}]"
            + (f"\N{NO-BREAK SPACE}{MARK}" if row.beats is False else ""),
            "disagreement": f"± {row.disagreement:.1f}",
        }
        for row in ranking.table.itertuples()
    }
    return pd.DataFrame(cells).T.rename_axis("method")


def _ranks(values: np.ndarray, best: int) -> np.ndarray:
    """Of values [M, S, N] of M methods, 1 for the best; NaN on images that a method has no value of."""
    unknown = ~np.isfinite(values).all(axis=(0, 1))
    return np.where(unknown, np.nan, rankdata(np.where(unknown, 0, -best * values), axis=0))


def _concordance(of_scores: pd.DataFrame) -> float:
    methods, scores = of_scores.shape
    if scores < 2 or methods < 3:
        return np.nan
    return float(friedmanchisquare(*of_scores.to_numpy()).statistic / (scores * (methods - 1)))
