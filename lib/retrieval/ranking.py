"""Retrieval under the Market-1501 protocol (Zheng et al., ICCV 2015): mAP, mINP and CMC of queries in a gallery.

A gallery image counts for a query unless it is junk (identity −1) or shows the query's identity from the query's own
camera. Of those that count, ordered by distance and by gallery order where distances are equal, the right ones stand
at the ranks r₁ < … < r_m, and

    AP = (1/m) Σᵢ i/rᵢ        INP = m/r_m        CMC-k = [r₁ ≤ k]

AP is the precision at every right image, averaged, as in all published code since (open-reid, torchreid, TransReID,
and so DCAL); Market-1501's first evaluation took the trapezoid between them, which is a little higher or lower. INP is the
inverse negative penalty of Ye et al. (arXiv 2001.04193, eq. 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
METRICS = ("map", "minp", "cmc_1", "cmc_5", "cmc_10")


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
        raise unknown("retrieval metric", metric, METRICS)

    def metrics(self, names: Sequence[str] = METRICS) -> dict[str, float]:
        """mAP, mINP and CMC as fractions in [0, 1]."""
        return {name: float(self.per_query(name).mean()) for name in names}

    def cmc(self, ranks: int) -> np.ndarray:
        """The share of queries whose first match stands at rank 1…`ranks` or before, [ranks]."""
        positive(ranks=ranks)
        first = self.matched["first_match"].to_numpy()
        return (first[:, None] <= np.arange(1, ranks + 1)).mean(axis=0)


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
    for row, distances in _rows(query, gallery, distance, reranking):
        identity, camera = query.identities[row], query.cameras[row]
        excluded, right = _protocol(gallery, identity, camera)
        keys = sort_keys(distances)
        matches = np.sort(keys[right])
        keys[excluded] = LAST_KEY
        table.append((identity, camera, *_scores(_ranks(matches, keys))))
    found = RetrievalScores(pd.DataFrame(table, columns=COLUMNS))
    _check_matches(found, skip_unmatched)
    return found


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
    asked = rows
    if reranking is None:
        places = np.asarray(rows, dtype=int)
        query = Embedded(query.vectors[places], query.identities[places], query.cameras[places])
    else:  # all queries are neighbours of each other
        asked = range(len(query))
    answers = {}
    for row, (place, distances) in zip(asked, _rows(query, gallery, distance, reranking), strict=True):
        if row in rows:
            excluded, right = _protocol(gallery, query.identities[place], query.cameras[place])
            keys = sort_keys(distances)
            keys[excluded] = LAST_KEY
            best = columns_of(np.sort(keys)[: min(top, len(keys) - excluded.sum())])
            answers[row] = Ranking(row, best, right[best], distances.numpy()[best])
    return [answers[row] for row in rows]


def _rows(
    query: Embedded, gallery: Embedded, distance: str, reranking: Reranking | None
) -> Iterator[tuple[int, Tensor]]:
    """Each query's row and its distances [G] to the gallery."""
    blocks = distance_blocks if reranking is None else partial(reranked_blocks, settings=reranking)
    return enumerate(chain.from_iterable(blocks(query, gallery, distance)))


def _protocol(gallery: Embedded, identity: int, camera: int) -> tuple[np.ndarray, np.ndarray]:
    """Which gallery images do not count for a query, and which are right; both [G]."""
    same = gallery.identities == identity
    excluded = (same & (gallery.cameras == camera)) | (gallery.identities == JUNK)
    return excluded, same & ~excluded


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


def _check_matches(found: RetrievalScores, skip_unmatched: bool) -> None:
    alone = found.queries[found.queries["matches"] == 0]
    if len(alone) == len(found.queries) or (len(alone) and not skip_unmatched):
        first = alone.iloc[0]
        remedy = "add their images from other cameras to the gallery" + (
            ", or leave such queries out with skip_unmatched=True." if len(alone) < len(found.queries) else "."
        )
        raise WorkbookValueError(
            f"{len(alone)} of {len(found.queries)} queries have no match in the gallery, i.e. no image of their identity "
            f"from another camera; the first is query {alone.index[0]} (identity {first['identity']:.0f}, camera "
            f"{first['camera']:.0f}): {remedy}"
        )
