"""What may be said about retrieval: mAP, mINP and CMC over seeds and queries, and the difference of two models.

The queries of one identity are not independent (its clothes are easy to find or not), so identities are resampled. The
gallery stays as it is: an interval covers other queries and seeds, not another gallery. How seeds and queries are put
together is told in `lib.statistics.intervals`.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from lib.errors import WorkbookValueError
from lib.retrieval.ranking import RetrievalScores
from lib.statistics.estimates import Comparison, Estimate, difference_of, estimate_of
from lib.statistics.resampling import MetricSamples, mean_samples

SeedScores = Sequence[RetrievalScores]  # of one model, one a seed


def estimate_retrieval(scores: SeedScores, metric: str = "map") -> Estimate:
    """Mean ± standard deviation over the scores of one model, one a seed, with a 95 % interval; `groups` is the number
    of identities, `images` that of queries.

    Raises:
        WorkbookValueError: no scores, scores of different queries, or an unknown metric.
    """
    _check_paired(scores)
    return estimate_of(_samples(scores, metric))


def compare_retrieval(
    first: SeedScores, second: SeedScores, metric: str = "map", same_networks: bool = False
) -> Comparison:
    """The first model minus the second on the same queries; each sequence holds the scores of a seed each.

    `same_networks` as in `difference_of`: of networks with and without re-ranking, say.

    Raises:
        WorkbookValueError: no scores, scores of different queries, an unknown metric, or with `same_networks` more
            scores on one side.
    """
    _check_paired(first, second)
    return difference_of(metric, _samples(first, metric), _samples(second, metric), same_networks=same_networks)


def _samples(scores: SeedScores, metric: str) -> MetricSamples:
    """The mean over queries; identities are resampled."""
    return mean_samples(np.stack([seed.per_query(metric) for seed in scores]), scores[0].matched["identity"])


def _check_paired(*sides: SeedScores) -> None:
    if not all(sides):
        raise WorkbookValueError("There are no scores to compare: rank the gallery with retrieval_scores, once a seed.")
    columns, queries = ["identity", "camera", "matches"], sides[0][0].queries
    for scores in chain(*sides):
        if not scores.queries[columns].equals(queries[columns]):
            raise WorkbookValueError(
                f"Scores of {len(queries)} and of {len(scores.queries)} queries are of different queries or galleries; "
                "they cannot be paired. Rank the same split, in the same order."
            )
