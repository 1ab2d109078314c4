"""Re-ranking against the authors' variant of the paper's equations, written with sets and loops."""

import math

import numpy as np
import pytest
import torch

from lib.errors import WorkbookValueError
from lib.retrieval import distances, reranking
from lib.retrieval.distances import Embedded
from lib.retrieval.ranking import rankings, retrieval_scores
from lib.retrieval.reranking import Reranking, reranked_blocks


def people(count, seed, identities=5, dimensions=6, noise=0.6):
    """Embeddings around a centre for each identity."""
    centres = np.random.default_rng(99).normal(size=(identities, dimensions))
    rng = np.random.default_rng(seed)
    who = np.resize(np.arange(identities), count)
    vectors = centres[who] + noise * rng.normal(size=(count, dimensions))
    return Embedded(torch.tensor(vectors), who + 1, np.full(count, seed))


def the_authors(query, gallery, k1, k2, lambda_value, cosine):
    """Eqs. 2 to 12 of arXiv 1701.08398 as in the authors' code: an image is its own neighbour, support is more than
    two thirds, and the entries of a vector sum to one."""
    x = np.concatenate([query.vectors.double().numpy(), gallery.vectors.double().numpy()])
    if cosine:
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    n = len(x)
    d = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    order = [[p, *(int(g) for g in np.argsort(d[p], kind="stable") if g != p)] for p in range(n)]
    d /= d.max(axis=1, keepdims=True)

    def nearest(p, k):
        return set(order[p][: k + 1])

    def reciprocal(p, k):
        return {g for g in nearest(p, k) if p in nearest(g, k)}

    v = np.zeros((n, n))
    for p in range(n):
        members = reciprocal(p, k1)
        expanded = set(members)
        for q in members:
            candidate = reciprocal(q, round(k1 / 2))
            if len(members & candidate) * 3 > len(candidate) * 2:
                expanded |= candidate
        for g in expanded:
            v[p, g] = math.exp(-d[p, g]) / sum(math.exp(-d[p, h]) for h in expanded)
    v = np.array([np.mean([v[g] for g in order[p][:k2]], axis=0) for p in range(n)])
    final = np.zeros((len(query), len(gallery)))
    for i in range(len(query)):
        for j in range(len(gallery)):
            g = len(query) + j
            jaccard = 1 - np.minimum(v[i], v[g]).sum() / np.maximum(v[i], v[g]).sum()
            final[i, j] = (1 - lambda_value) * jaccard + lambda_value * d[i, g]
    return final


def ours(query, gallery, *settings, distance="euclidean"):
    return torch.cat(list(reranked_blocks(query, gallery, distance, Reranking(*settings)))).numpy()


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    "settings", [(20, 6, 0.3), (7, 3, 0.3), (5, 1, 0.0), (3, 10, 0.9), (1, 1, 0.3), (200, 200, 0.3), (4, 2, 1.0)]
)
def test_it_is_the_authors(settings, distance):
    query, gallery = people(9, 0), people(45, 1)
    expected = the_authors(query, gallery, *settings, cosine=distance == "cosine")
    assert ours(query, gallery, *settings, distance=distance) == pytest.approx(expected, abs=2e-6)


def test_exactly_two_thirds_of_support_are_too_few():
    """Small whole numbers make sets of many sizes, also such that the bound is met exactly, and ties."""
    rng = np.random.default_rng(0)
    query, gallery = (
        Embedded(rng.permutation(400)[:n, None] + rng.integers(0, 2, (n, 1)), np.arange(n), np.zeros(n))
        for n in (10, 40)
    )
    for k1 in (4, 5, 6, 8):
        assert ours(query, gallery, k1, 2, 0.3) == pytest.approx(
            the_authors(query, gallery, k1, 2, 0.3, False), abs=2e-6
        )


def test_blocks_change_nothing(monkeypatch):
    query, gallery = people(9, 0), people(45, 1)
    whole = ours(query, gallery)
    monkeypatch.setattr(distances, "BLOCK_BYTES", 54 * 4 * distances.BYTES_A_PAIR)
    monkeypatch.setattr(reranking, "PAIRS_AT_ONCE", 7)
    assert len(list(reranked_blocks(query, gallery, "cosine", Reranking()))) > 1
    assert ours(query, gallery) == pytest.approx(whole, abs=1e-6)


def test_with_lambda_one_the_order_is_the_distances():
    query, gallery = people(20, 0), people(80, 1)
    plain = retrieval_scores(query, gallery, "euclidean").queries
    assert retrieval_scores(query, gallery, "euclidean", Reranking(lambda_value=1.0)).queries.equals(plain)


def test_it_helps_where_identities_are_clusters():
    query, gallery = people(40, 0, identities=10, noise=0.9), people(300, 1, identities=10, noise=0.9)
    plain, again = (retrieval_scores(query, gallery, reranking=r).metrics()["map"] for r in (None, Reranking()))
    assert again > plain + 0.05


def test_embeddings_that_are_all_the_same_keep_the_gallery_order():
    same = [Embedded(torch.ones(n, 4), np.arange(n) % 3 + 1, np.full(n, n)) for n in (6, 30)]
    for distance in distances.DISTANCES:
        found = ours(*same, 5, 3, 0.3, distance=distance)
        assert np.isfinite(found).all()
        assert (found >= 0).all()


@pytest.mark.parametrize(
    "settings",
    [{"k1": 0}, {"k2": 2.5}]
    + [{"lambda_value": value} for value in (1.5, float("nan"), None, "0.3", True, torch.tensor(0.3))],
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(WorkbookValueError, match=next(iter(settings))):
        Reranking(**settings)


@pytest.mark.parametrize("settings", [True, False, 20, "default"])
def test_what_is_no_reranking(settings):
    query, gallery = people(9, 0), people(45, 1)
    message = f"takes a Reranking, such as Reranking\\(\\), or None, not {settings!r}"
    with pytest.raises(WorkbookValueError, match=message):
        retrieval_scores(query, gallery, reranking=settings)
    with pytest.raises(WorkbookValueError, match=message):
        rankings(query, gallery, [0], reranking=settings)
