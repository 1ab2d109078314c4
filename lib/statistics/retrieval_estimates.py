"""What may be said about retrieval: mAP, mINP and CMC over seeds and queries, and the difference of two models.

The queries of one identity are not independent (its clothes are easy to find or not), so identities are resampled. The
gallery stays as it is: an interval covers other queries and seeds, not another gallery. How seeds and queries are put
together is told in `lib.statistics.intervals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from lib.errors import WorkbookValueError
from lib.retrieval.ranking import RetrievalScores
from lib.statistics.estimates import Comparison, Estimate, difference_of, estimate_of
from lib.statistics.resampling import resampled

Seeds = Sequence[RetrievalScores]  # of one model, one a seed


def estimate_retrieval(scores: Seeds, metric: str = "map") -> Estimate:
    """Mean ± standard deviation over the scores of one model, one a seed, with a 95 % interval; `groups` is the number
    of identities, `images` that of queries.

    Raises:
        WorkbookValueError: no scores, scores of different queries, or an unknown metric.
    """
    _check_paired(scores)
    table = scores[0].matched
    return estimate_of(*_resampled(scores, metric), len(table), table["identity"].nunique())


def compare_retrieval(
    first: Seeds,
    second: Seeds,
    metric: str = "map",
    same_networks: bool = False,
) -> Comparison:
    """The first model minus the second on the same queries; each sequence holds the scores of a seed each.

    `same_networks` says that both are the same networks, seed by seed in the same order, with and without re-ranking,
    say: what varies over seeds is then each one's own difference. With one seed on a side there is no p-value: the
    interval then covers other queries, not other trainings.

    Raises:
        WorkbookValueError: no scores, scores of different queries, an unknown metric, or with `same_networks` more
            scores on one side.
    """
    _check_paired(first, second)
    if same_networks and len(first) != len(second):
        raise WorkbookValueError(
            f"{len(first)} scores on one side and {len(second)} on the other are not of the same networks: give both "
            "of each network."
        )
    values, samples = zip(*(_resampled(side, metric) for side in (first, second)), strict=True)
    return difference_of(
        metric, values, samples, images=len(first[0].matched), paired=True, same_networks=same_networks
    )


def cmc_band(scores: Seeds, ranks: int = 20) -> list[Estimate]:
    """CMC-1 … CMC-`ranks` of one model with intervals, each for its rank alone."""
    return [estimate_retrieval(scores, f"cmc_{k}") for k in range(1, ranks + 1)]


def _resampled(scores: Seeds, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The metric of each seed [S], and on each resample of the identities [resamples, S]."""
    queries = np.column_stack([each.per_query(metric) for each in scores])
    weights = resampled(scores[0].matched["identity"]).weights
    return queries.mean(axis=0), weights @ queries / weights.sum(axis=1, keepdims=True)


def _check_paired(*sides: Seeds) -> None:
    if not all(sides):
        raise WorkbookValueError("There are no scores to compare: rank the gallery with retrieval_scores, once a seed.")
    what, known = ["identity", "camera", "matches"], sides[0][0].queries
    for each in chain(*sides):
        if not each.queries[what].equals(known[what]):
            raise WorkbookValueError(
                f"Scores of {len(known)} and of {len(each.queries)} queries are of different queries or galleries; they "
                "cannot be paired. Rank the same split, in the same order."
            )
