"""Re-ranking with k-reciprocal encoding (Zhong et al., CVPR 2017, arXiv 1701.08398), with sparse matrices throughout.

Queries and gallery together are N images; N(p, k) are the k nearest of p and p itself, R(p, k) those of them that have p
among theirs (eq. 3), R*(p, k₁) the same with the ⅔-supported R(q, k₁/2) of its members added (eq. 4). Each image
becomes a vector V_p with e^{−d(p, g)} at the g of R*(p, k₁) (eq. 7), averaged over N(p, k₂) (eq. 11); two images are as
far apart as the Jaccard distance of their vectors (eq. 10) says, mixed with the distance itself (eq. 12).

The authors' code holds several N × N matrices (35 GB each for MSMT17). Here only the k₁ nearest of each image are found,
block by block, and sets and vectors are sparse matrices of some ten to a few hundred entries a row.

Published numbers come from the authors' code (github.com/zhunzhong07/person-re-ranking), whose Python version is followed
where it says more than the paper or something else: d (eq. 1, a squared distance) is divided by its greatest value from
p, so that λ mixes like with like; an R(q, k₁/2) is added where more than ⅔ of it lie in R(p, k₁) (the paper: ⅔ or more),
k₁/2 is rounded, a half to the even number; and each V_p is divided by its sum (the paper: not). Numbers are float32 as
in its re_ranking_ranklist.py, with which distances agree to 1e-6; the half precision of its other file can swap
neighbours. An image is its own nearest here even where another one's embedding equals its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real

import numpy as np
import scipy  # which loads `scipy.sparse` when it is first used
import torch
from torch import Tensor

from lib.errors import WorkbookValueError, positive
from lib.retrieval.distances import LAST_KEY, Embedded, block_rows, columns_of, comparable, sort_keys, squared_distances

PAIRS_AT_ONCE = 2**15  # of embeddings gathered for distances of single pairs: 200 MB of 768 dimensions


@dataclass(frozen=True)
class Reranking:
    """The paper's k₁, k₂ and λ (the share of the original distance), with its values.

    Raises:
        WorkbookValueError: k₁ or k₂ is no whole number of at least 1, λ is no number in [0, 1].
    """

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3

    def __post_init__(self) -> None:
        positive(k1=self.k1, k2=self.k2)
        share = self.lambda_value
        if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= share <= 1:
            raise WorkbookValueError(f"lambda_value must be a number in [0, 1], not {share!r}.")


def reranked_blocks(query: Embedded, gallery: Embedded, distance: str, settings: Reranking) -> Iterator[Tensor]:
    """Distances d* [b, G] (eq. 12) in [0, 1] of b queries to all gallery images, in the order of the queries.

    Neighbours are those among all queries and gallery images, so a query's answer depends on the other queries.

    Raises:
        WorkbookValueError: an unknown distance, vectors of different dimensions, or `settings` of another kind.
    """
    if not isinstance(settings, Reranking):
        raise WorkbookValueError(f"Re-ranking takes a Reranking, such as Reranking(), or None, not {settings!r}.")
    vectors = torch.cat(comparable(query, gallery, distance))
    nearest, greatest = _neighbours(vectors, max(settings.k1 + 1, settings.k2))
    encoded = _encoded(vectors, _expanded(nearest, settings.k1), greatest)
    near = nearest[:, : settings.k2]
    encoded = (_incidence(near) @ encoded / near.shape[1]).tocsr()  # eq. 11
    ours, theirs = encoded[: len(query)], encoded[len(query) :].tocsc()
    for block in torch.arange(len(query)).split(block_rows(len(gallery))):
        original = squared_distances(vectors[block], vectors[len(query) :]) / greatest[block, None]
        jaccard = np.stack([_jaccard(ours[[i]], theirs) for i in block.tolist()])
        mixed = settings.lambda_value * original.cpu() + (1 - settings.lambda_value) * torch.from_numpy(jaccard)
        yield mixed.clamp_(min=0)


def _neighbours(vectors: Tensor, count: int) -> tuple[np.ndarray, Tensor]:
    """Each image and its nearest others, `count` in all, [N, count], and its greatest squared distance to any [N]."""
    others = min(count, len(vectors)) - 1
    nearest, greatest = [], []
    for block in torch.arange(len(vectors)).split(block_rows(len(vectors))):
        squares = squared_distances(vectors[block], vectors)
        keys = sort_keys(squares.cpu())
        keys[range(len(block)), block.tolist()] = LAST_KEY  # an image is no neighbour of its own
        best = np.sort(np.partition(keys, others, axis=1)[:, :others], axis=1)
        nearest.append(np.column_stack([block.numpy(), columns_of(best)]))
        greatest.append(squares.amax(dim=1))
    return np.concatenate(nearest), torch.cat(greatest).clamp(min=torch.finfo(torch.float32).tiny)


def _incidence(nearest: np.ndarray) -> scipy.sparse.csr_array:
    """[N, N] with 1 at (p, g) for the g in row p."""
    n, k = nearest.shape
    return scipy.sparse.csr_array((np.ones(n * k, np.int32), nearest.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))


def _reciprocal(nearest: np.ndarray) -> scipy.sparse.csr_array:
    """R(p, k), eq. 3."""
    within = _incidence(nearest)
    return within.multiply(within.T).tocsr()


def _expanded(nearest: np.ndarray, k1: int) -> scipy.sparse.csr_array:
    """R*(p, k₁), eq. 4: R with the R(q, k₁/2) of those q in it of which more than two thirds lie in R."""
    full, half = _reciprocal(nearest[:, : k1 + 1]), _reciprocal(nearest[:, : round(k1 / 2) + 1])
    shared = full.multiply(full @ half.T).tocoo()  # |R(p, k₁) ∩ R(q, k₁/2)| at the q of R(p, k₁)
    supported = 3 * shared.data > 2 * half.sum(axis=1)[shared.col]
    added = (
        scipy.sparse.csr_array((shared.data[supported], (shared.row[supported], shared.col[supported])), full.shape)
        @ half
    )
    return (full + added).tocsr()


def _encoded(vectors: Tensor, expanded: scipy.sparse.csr_array, greatest: Tensor) -> scipy.sparse.csr_array:
    """V, eq. 7: e^{−d(p, g)} at the entries of R*, divided by the sum of the row."""
    pairs = expanded.tocoo()
    ends = (torch.as_tensor(i, device=vectors.device).long().split(PAIRS_AT_ONCE) for i in pairs.coords)
    squares = [(vectors[p] - vectors[g]).square().sum(dim=1) / greatest[p] for p, g in zip(*ends, strict=True)]
    encoded = scipy.sparse.csr_array((torch.cat(squares).neg().exp().cpu().numpy(), pairs.coords), expanded.shape)
    encoded.data /= np.repeat(encoded.sum(axis=1), np.diff(encoded.indptr))
    return encoded


def _jaccard(own: scipy.sparse.csr_array, theirs: scipy.sparse.csc_array) -> np.ndarray:
    """Jaccard distance (eq. 10) of one V [1, N] to the gallery's V [G, N], [G]; Σ max is 2 − Σ min, as Σ V is 1."""
    columns = theirs[:, own.indices]
    limits = np.repeat(own.data, np.diff(columns.indptr))
    smaller = np.bincount(columns.indices, np.minimum(columns.data, limits), minlength=theirs.shape[0])
    return (1 - smaller / (2 - smaller)).astype(np.float32)
