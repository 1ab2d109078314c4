"""Retrieval under the Market-1501 protocol (Zheng et al., ICCV 2015): mAP, mINP and CMC of queries in a gallery.

A gallery image counts for a query unless it is junk (identity −1) or shows the query's identity from the query's own
camera. Of those that count, ordered by distance and by gallery order where distances are equal, the right ones stand
at the ranks r₁ < … < r_m, and

    AP = (1/m) Σᵢ i/rᵢ        INP = m/r_m        CMC-k = [r₁ ≤ k]

AP is the precision at every right image, averaged, as in all published code since (open-reid, torchreid, TransReID,
and so DCAL); Market-1501's first evaluation took the trapezoid between them, which is a little higher or lower. INP is the
inverse negative penalty of Ye et al. (arXiv 2001.04193, eq. 4).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import pandas as pd
from torch import Tensor

from lib.data.imageset import JUNK, check_queries
from lib.errors import WorkbookValueError, positive, unknown
from lib.retrieval.distances import LAST_KEY, Embedded, columns_of, distance_blocks, sort_keys
from lib.retrieval.reranking import Reranking, reranked_blocks

COLUMNS = ("identity", "camera", "matches", "average_precision", "inverse_negative_penalty", "first_match")
RETRIEVAL_METRICS = {"map": "mAP", "minp": "mINP", "cmc_1": "CMC-1", "cmc_5": "CMC-5", "cmc_10": "CMC-10"}  # as written


@dataclass(frozen=True)
class RetrievalScores:
    """What a gallery answers to each query.

    `queries` has one row a query, in order: `identity`, `camera`, `matches` (m above), `average_precision`,
    `inverse_negative_penalty` and `first_match` (r₁). A query without a match has 0 matches and NaN after that; it is
    skipped in every mean. The table can go through a CSV file and back.
    """

    queries: pd.DataFrame

    @property
    def matched(self) -> pd.DataFrame:
        """The queries that have a match."""
        return self.queries[self.queries["matches"] > 0]

    @property
    def skipped(self) -> int:
        """Queries without a match."""
        return len(self.queries) - len(self.matched)

    def per_query(self, metric: str) -> np.ndarray:
        """`metric` of each query that has a match; its mean is the metric.

        Raises:
            WorkbookValueError: not `map`, `minp` or `cmc_<k>`.
        """
        table, (name, _, k) = self.matched, metric.partition("_")
        if metric == "map":
            return table["average_precision"].to_numpy()
        if metric == "minp":
            return table["inverse_negative_penalty"].to_numpy()
        if name == "cmc" and k.isdigit() and int(k) > 0:
            return (table["first_match"] <= int(k)).to_numpy(float)
        raise unknown("retrieval metric", metric, RETRIEVAL_METRICS)

    def metrics(self, names: Iterable[str] = RETRIEVAL_METRICS) -> dict[str, float]:
        """mAP, mINP and CMC as fractions in [0, 1]."""
        return {name: float(self.per_query(name).mean()) for name in names}


@dataclass(frozen=True)
class Ranking:
    """The first gallery images that count for a query, in order; all arrays have one length."""

    query: int  # row
    gallery: np.ndarray  # rows
    right: np.ndarray  # whether each shows the query's identity
    distances: np.ndarray


def retrieval_scores(
    query: Embedded,
    gallery: Embedded,
    distance: str = "cosine",
    reranking: Reranking | None = None,
    skip_unmatched: bool = False,
) -> RetrievalScores:
    """Every query ranked in the gallery. A query whose identity no other camera shows has no right answer: an error,
    or with `skip_unmatched` left out of the means, as the protocol does, and counted.

    Raises:
        WorkbookValueError: a gallery without a match for a query (for all of them with `skip_unmatched`), one of a
            single identity, a query that is junk or a distractor, an unknown distance, a `reranking` of another kind.
    """
    _check(query, gallery)
    table = []
    for row, distances in enumerate(_distances(query, gallery, distance, reranking)):
        keys, right = _keys_and_right(query, row, gallery, distances)
        ranks = _ranks(np.sort(keys[right]), keys)
        table.append((query.identities[row], query.cameras[row], *_scores(ranks)))
    scores = RetrievalScores(pd.DataFrame(table, columns=COLUMNS))
    _check_matches(scores, skip_unmatched)
    return scores


def rankings(
    query: Embedded,
    gallery: Embedded,
    rows: Sequence[int],
    top: int = 10,
    distance: str = "cosine",
    reranking: Reranking | None = None,
) -> list[Ranking]:
    """The first `top` gallery images for each of the queries `rows`, without those that do not count.

    Raises:
        WorkbookValueError: as `retrieval_scores`, or a row that no query has; a query without a match is no error
            here, its answers are all wrong.
    """
    positive(top=top)
    absent = sorted(set(rows) - set(range(len(query))))
    if absent:
        raise WorkbookValueError(f"There is no query {absent[0]}: the rows of {len(query)} queries go from 0.")
    _check(query, gallery)
    if not len(rows):
        return []
    ranked = rows if reranking is None else range(len(query))  # which re-ranking takes as neighbours of each other
    query, by_row = query.take(ranked), {}
    for place, distances in enumerate(_distances(query, gallery, distance, reranking)):
        row = ranked[place]
        if row in rows:
            keys, right = _keys_and_right(query, place, gallery, distances)
            best = columns_of(np.sort(keys)[: min(top, (keys != LAST_KEY).sum())])
            by_row[row] = Ranking(row, best, right[best], distances.numpy()[best])
    return [by_row[row] for row in rows]


def _distances(query: Embedded, gallery: Embedded, distance: str, reranking: Reranking | None) -> Iterator[Tensor]:
    """Each query's distances [G] to the gallery."""
    blocks = distance_blocks if reranking is None else partial(reranked_blocks, settings=reranking)
    return chain.from_iterable(blocks(query, gallery, distance))


def _keys_and_right(query: Embedded, row: int, gallery: Embedded, distances: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """By the protocol, for one query: `sort_keys` of its distances, `LAST_KEY` at the gallery images that do not count;
    and which are right; both [G]."""
    same = gallery.identities == query.identities[row]
    excluded = (same & (gallery.cameras == query.cameras[row])) | (gallery.identities == JUNK)
    keys = sort_keys(distances)
    keys[excluded] = LAST_KEY
    return keys, same & ~excluded


def _ranks(matches: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """How many of all `keys` are not above each of the sorted `matches`: counted between them, without sorting `keys`."""
    between = np.bincount(np.searchsorted(matches, keys), minlength=len(matches) + 1)
    return np.cumsum(between[:-1])


def _scores(ranks: np.ndarray) -> tuple[int, float, float, float]:
    """m, AP, INP and r₁ from the ascending ranks of the right images."""
    m = len(ranks)
    if m == 0:
        return 0, np.nan, np.nan, np.nan
    return m, float((np.arange(1, m + 1) / ranks).mean()), float(m / ranks[-1]), float(ranks[0])


def _check(query: Embedded, gallery: Embedded) -> None:
    known = np.unique(gallery.identities[gallery.identities != JUNK])
    if len(known) < 2:
        raise WorkbookValueError(
            f"The gallery shows {'one' if len(known) else 'no'} identity: nothing can be confused, so "
            "there is nothing to measure. Give a split with several identities."
        )
    check_queries(range(len(query)), query.identities)


def _check_matches(scores: RetrievalScores, skip_unmatched: bool) -> None:
    queries, unmatched = scores.queries, scores.queries[scores.queries["matches"] == 0]
    if len(unmatched) == len(queries) or (len(unmatched) and not skip_unmatched):
        first = unmatched.iloc[0]
        skip = ", or leave such queries out with skip_unmatched=True" if len(unmatched) < len(queries) else ""
        raise WorkbookValueError(
            f"{len(unmatched)} of {len(queries)} queries have no match in the gallery, i.e. no image of their identity "
            f"from another camera; the first is query {unmatched.index[0]} (identity {first['identity']:.0f}, camera "
            f"{first['camera']:.0f}): add their images from other cameras to the gallery{skip}."
        )
