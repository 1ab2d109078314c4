"""Notebook 10 in a few numbers and sentences: what a brought network answers, how steadily, and whose maps hold."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from lib.report.study.explanation_conclusions import won_scores
from lib.report.tables.cells import minus

ONE_PHOTOGRAPH = (
    "One photograph is one case: its scores have no intervals, and no method can be said to beat a reference map. Give two or more "
    "for the leaderboard and the rank."
)
SURE = 0.5  # a probability from which an answer is called sure


def photograph_key_figures(
    network: str,
    probabilities: np.ndarray,
    seen: pd.DataFrame,
    steady: pd.DataFrame,
    table: pd.DataFrame | None,
    ranks: pd.DataFrame | None,
) -> dict[str, str | dict[str, str]]:
    """The key figures.

    Args:
        probabilities: [N, K] of the photographs as shown.
        seen, steady: `answers_from`, `steadiness`.
        table: the `leaderboard`; None of one photograph, which has none.
        ranks: the table of `rank_methods`, or None.
    """
    best, others = probabilities.max(axis=1), seen[seen["viewpoint"] != "as shown"]
    figures: dict[str, str | dict[str, str]] = {
        "network": network,
        f"photographs with a class above {SURE}": f"{(best > SURE).sum()} of {len(best)}",
        "other views with the same answer": f"{others['same'].sum()} of {len(others)}",
        "maps that move with the picture most": _at(steady, max),
    }
    if table is not None:
        won, scores = won_scores(table)
        beaten = {name: f"{n} of {scores}" for name, n in won.items()}
        figures["scores in which a method beats the best reference map"] = beaten
    if ranks is not None:
        first = ranks[ranks["beats"].notna()].iloc[0]
        figures["best rank over all scores"] = f"{first['method']}, {first['rank']:.1f} of {len(ranks)}"
    return figures


def photograph_verdict(
    names: Sequence[str],
    probabilities: np.ndarray,
    seen: pd.DataFrame,
    steady: pd.DataFrame,
    table: pd.DataFrame | None,
) -> tuple[str, str]:
    """What the network is sure of, and which explanations move with the picture and, where there is a leaderboard, beat what
    knows nothing."""
    sure = [name for name, best in zip(names, probabilities.max(axis=1), strict=True) if best > SURE]
    others = seen[seen["viewpoint"] != "as shown"]
    named = f" ({', '.join(sure)})" if sure else ""
    kept = f"keeps its answer in {others['same'].sum()} of {len(others)} other views"
    first = f"The network gives a class more than {SURE:.2f} for {len(sure)} of {len(names)} photographs{named}, and {kept}."
    moving = f"The maps that move most with the picture: {_at(steady, max)}; least: {_at(steady, min)}."
    return first, moving if table is None else f"{_beaten(table)} {moving}"


def _beaten(table: pd.DataFrame) -> str:
    won, scores = won_scores(table)
    winners = [f"{name} in {n} of {scores}" for name, n in won.items() if n]
    if not winners:
        return "No method beats the best reference map in any score."
    return f"The best reference map is beaten by {', '.join(winners)} scores."


def _at(steady: pd.DataFrame, end: Callable[[Iterable[float]], float]) -> str:
    """The methods at one end of the mean correlations, which may be several: 'grad-cam, hires-cam (0.90)'."""
    means = steady["mean"].dropna().round(2)
    if means.empty:
        return "unknown, since all maps are even"
    value = end(means)
    return f"{', '.join(means.index[means == value])} ({minus(f'{value:z.2f}')})"
