"""Rankings against the protocol written out query by query: random cases, all ties, junk, distractors, same cameras."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from lib.errors import WorkbookValueError
from lib.retrieval import distances
from lib.retrieval.distances import Embedded, distance_blocks
from lib.retrieval.ranking import rankings, retrieval_scores
from lib.retrieval.reranking import Reranking

COLUMNS = ["matches", "average_precision", "inverse_negative_penalty", "first_match"]


def protocol(query, gallery, distance):
    """Market-1501's protocol for every query with loops only; the distances are given, [Q, G]."""
    table = []
    for q in range(len(query)):
        order = sorted(range(len(gallery)), key=lambda g: (distance[q][g], g))
        hits = []
        for g in order:
            if gallery.identities[g] == -1:
                continue
            same = gallery.identities[g] == query.identities[q]
            if same and gallery.cameras[g] == query.cameras[q]:
                continue
            hits.append(same)
        ranks = [rank for rank, hit in enumerate(hits, start=1) if hit]
        if ranks:
            precisions = [sum(hits[:rank]) / rank for rank in ranks]
            table.append((len(ranks), sum(precisions) / len(ranks), len(ranks) / ranks[-1], ranks[0]))
        else:
            table.append((0, np.nan, np.nan, np.nan))
    return pd.DataFrame(table, columns=COLUMNS)


def people(count, seed, dimensions=3, identities=(-1, 6), cameras=3, spread=2):
    """Embeddings of small whole numbers, whose distances are exact in float32 and often equal."""
    rng = np.random.default_rng(seed)
    return Embedded(
        torch.tensor(rng.integers(-spread, spread + 1, (count, dimensions))),
        rng.integers(*identities, count),
        rng.integers(0, cameras, count),
    )


def euclidean(query, gallery):
    return torch.cdist(query.vectors.double(), gallery.vectors.double()).numpy()


def same_as_protocol(query, gallery):
    expected = protocol(query, gallery, euclidean(query, gallery))
    if not expected["matches"].any():
        with pytest.raises(WorkbookValueError, match="no match in the gallery"):
            retrieval_scores(query, gallery, "euclidean", skip_unmatched=True)
        return
    found = retrieval_scores(query, gallery, "euclidean", skip_unmatched=True)
    pd.testing.assert_frame_equal(found.queries[COLUMNS], expected, check_dtype=False)
    assert found.skipped == (expected["matches"] == 0).sum()
    assert found.metrics(["map"])["map"] == pytest.approx(expected["average_precision"].mean())


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    images=st.integers(8, 40),
    spread=st.sampled_from([0, 1, 30]),
    identities=st.integers(2, 8),
    cameras=st.integers(1, 4),
)
def test_scores_are_the_protocols(seed, images, spread, identities, cameras):
    query = people(6, seed, identities=(1, identities + 1), cameras=cameras, spread=spread)
    gallery = people(images, seed + 1, identities=(-1, identities + 1), cameras=cameras, spread=spread)
    if len(np.unique(gallery.identities[gallery.identities != -1])) > 1:
        same_as_protocol(query, gallery)


def test_blocks_change_nothing(monkeypatch):
    query, gallery = people(50, 0, identities=(1, 6)), people(200, 1)
    whole = retrieval_scores(query, gallery, "euclidean").queries
    monkeypatch.setattr(distances, "BLOCK_BYTES", 200 * 3 * distances.BYTES_A_PAIR)
    assert [len(b) for b in distance_blocks(query, gallery)] == [3] * 16 + [2]
    pd.testing.assert_frame_equal(whole, retrieval_scores(query, gallery, "euclidean").queries)


def line(identities, cameras, at=None):
    """Gallery images on a line, by default at the distances 1, 2, 3 … from a query at 0."""
    places = np.arange(1, len(identities) + 1) if at is None else at
    return Embedded(torch.tensor(places)[:, None], np.array(identities), np.array(cameras))


QUERY = Embedded(torch.zeros(1, 1), np.array([7]), np.array([1]))


@pytest.mark.parametrize(
    ("identities", "cameras", "ap", "inp", "first"),
    [
        ([7, 3, 7], [2, 2, 3], (1 + 2 / 3) / 2, 2 / 3, 1),
        ([7, 3, 7], [1, 2, 3], 1 / 2, 1 / 2, 2),  # the same camera is left out, not wrong
        ([-1, -1, 7, -1, 4], [2, 2, 2, 2, 2], 1, 1, 1),  # junk is left out
        ([0, 0, 7, 0], [1, 2, 2, 3], 1 / 3, 1 / 3, 3),  # distractors are wrong, from the query's camera too
        ([3, 3, 3, 7], [1, 1, 1, 2], 1 / 4, 1 / 4, 4),  # others from the query's camera count
    ],
)
def test_by_hand(identities, cameras, ap, inp, first):
    found = retrieval_scores(QUERY, line(identities, cameras), "euclidean")
    assert found.metrics(["map", "minp"]) == pytest.approx({"map": ap, "minp": inp})
    assert list(found.metrics([f"cmc_{k}" for k in range(1, 6)]).values()) == [k >= first for k in range(1, 6)]


def test_ties_are_in_gallery_order():
    gallery = line([3, 7, 3, 7], [2, 2, 2, 2], at=[1, 1, 1, 1])
    assert retrieval_scores(QUERY, gallery, "euclidean").metrics(["map"])["map"] == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_average_precision_is_scikit_learns():
    rng = np.random.default_rng(0)
    query = Embedded(rng.normal(size=(20, 8)), rng.integers(1, 5, 20), np.zeros(20))
    gallery = Embedded(rng.normal(size=(300, 8)), rng.integers(1, 5, 300), np.ones(300))
    for distance in ("cosine", "euclidean"):
        scores = -torch.cat(list(distance_blocks(query, gallery, distance))).numpy()
        right = query.identities[:, None] == gallery.identities
        expected = [average_precision_score(r, s) for r, s in zip(right, scores, strict=True)]
        assert retrieval_scores(query, gallery, distance).per_query("map") == pytest.approx(expected)


def test_distances_are_torchs():
    query, gallery = people(10, 0, dimensions=16), people(30, 1, dimensions=16)
    found = {name: torch.cat(list(distance_blocks(query, gallery, name))) for name in distances.DISTANCES}
    assert torch.allclose(found["euclidean"], torch.cdist(query.vectors, gallery.vectors), atol=1e-4)
    cosine = torch.nn.functional.cosine_similarity(query.vectors[:, None], gallery.vectors[None], dim=-1)
    assert torch.allclose(found["cosine"], 1 - cosine, atol=1e-6)


def test_cmc_rises_to_one():
    query, gallery = people(60, 3, identities=(1, 6), spread=30), people(100, 4, spread=30)
    curve = list(retrieval_scores(query, gallery).metrics([f"cmc_{k}" for k in range(1, 101)]).values())
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == 1


def test_answers_are_the_best_that_count():
    query, gallery = people(9, 5, identities=(1, 6)), people(40, 6)
    distance = euclidean(query, gallery)
    for answer in rankings(query, gallery, [4, 0], top=6, distance="euclidean"):
        same = gallery.identities == query.identities[answer.query]
        counts = ~(same & (gallery.cameras == query.cameras[answer.query])) & (gallery.identities != -1)
        expected = [g for g in np.argsort(distance[answer.query], kind="stable") if counts[g]][:6]
        assert answer.gallery.tolist() == expected
        assert (answer.right == same[expected]).all()
        assert answer.distances == pytest.approx(distance[answer.query][expected], abs=1e-5)
    assert [a.query for a in rankings(query, gallery, [4, 0])] == [4, 0]
    assert rankings(query, gallery, []) == []
    everything = rankings(query, gallery, [0], top=10**6)
    assert -1 not in gallery.identities[everything[0].gallery]


def test_answers_to_a_few_are_those_to_all_reranked_or_not():
    query, gallery = people(9, 5, identities=(1, 6)), people(40, 6)
    for reranking in (None, Reranking(k1=5, k2=2)):
        everyone = rankings(query, gallery, range(9), reranking=reranking)
        for answer in rankings(query, gallery, [4, 0], reranking=reranking):
            assert answer.distances == pytest.approx(everyone[answer.query].distances, abs=1e-6)


def test_names_are_no_identities():
    with pytest.raises(WorkbookValueError, match="The identities must be numbers, not <U1: number them first"):
        Embedded(torch.ones(2, 1), np.array(["a", "b"]), np.array([1, 2]))


@pytest.mark.parametrize("name", ["identities", "cameras"])
@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1, np.nan, np.nan], "2 of 3 {} are no whole numbers, first nan in row 1: correct them"),
        ([1, 2, np.inf], "1 of 3 {} are no whole numbers, first inf in row 2"),
        ([1, 2, 1e300], "1 of 3 {} are no whole numbers, first 1e\\+300 in row 2"),
        ([1.5, 2, 3], "1 of 3 {} are no whole numbers, first 1.5 in row 0"),
        ([[1], [2], [3]], r"The {} must be \[images\], not \[3, 1\]: give one number an image"),
        (7, r"The {} must be \[images\], not \[\]"),
        ([True, False, True], "The {} must be numbers, not bool"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_numbers_no_people_and_no_cameras(name, numbers, message):
    given = {"identities": np.arange(3), "cameras": np.arange(3)} | {name: np.array(numbers)}
    with pytest.raises(WorkbookValueError, match=message.format(name)):
        Embedded(torch.ones(3, 2), **given)


def test_whole_numbers_may_come_as_fractions():
    found = Embedded(torch.ones(2, 1), np.array([1.0, -1.0]), np.array([3, 4], dtype=np.float32))
    assert found.identities.dtype == found.cameras.dtype == np.int64
    assert found.identities.tolist() == [1, -1]


def test_complex_embeddings():
    with pytest.raises(WorkbookValueError, match="must be real, not torch.complex64: take their .real or .abs()"):
        Embedded(torch.ones(2, 1, dtype=torch.complex64), np.arange(2), np.arange(2))


def test_a_row_that_no_query_has():
    with pytest.raises(WorkbookValueError, match="There is no query 9"):
        rankings(people(9, 5, identities=(1, 6)), people(40, 6), [0, 9])


def test_the_table_survives_a_file(tmp_path):
    found = retrieval_scores(people(30, 0, identities=(1, 8)), people(25, 1, identities=(-1, 8)), skip_unmatched=True)
    found.queries.to_csv(tmp_path / "queries.csv", index=False)
    again = type(found)(pd.read_csv(tmp_path / "queries.csv"))
    assert again.metrics() == found.metrics()
    assert again.skipped == found.skipped > 0


# --- what users get wrong ---


def test_a_query_without_a_match():
    gallery = line([7, 3, 4], [1, 2, 2])
    with pytest.raises(WorkbookValueError, match=r"1 of 1 queries have no match.*query 0 \(identity 7, camera 1\)"):
        retrieval_scores(QUERY, gallery)
    both = Embedded(torch.ones(2, 1), np.array([3, 7]), np.array([1, 1]))
    with pytest.raises(WorkbookValueError, match="1 of 2 queries have no match.*skip_unmatched=True"):
        retrieval_scores(both, gallery)
    assert retrieval_scores(both, gallery, skip_unmatched=True).skipped == 1


@pytest.mark.parametrize(
    ("query", "gallery", "message"),
    [
        (QUERY, line([7, 7, -1], [1, 2, 3]), "The gallery shows one identity"),
        (QUERY, line([-1, -1], [1, 2]), "The gallery shows no identity"),
        (line([-1], [1]), line([7, 3], [1, 2]), "Query 0 has the identity -1, but a query shows an identity"),
        (line([7, 0], [1, 1]), line([0, 7, 0], [2, 2, 3]), "Query 1 has the identity 0, but a query shows an identity"),
        (line([-2], [1]), line([-2, 7], [2, 2]), "Query 0 has the identity -2, but a query shows an identity"),
        (QUERY, Embedded(torch.ones(2, 5), np.array([7, 3]), np.array([2, 2])), "1 dimensions, the gallery 5"),
    ],
)
def test_what_cannot_be_ranked(query, gallery, message):
    for reranking in (None, Reranking()):
        with pytest.raises(WorkbookValueError, match=message):
            retrieval_scores(query, gallery, reranking=reranking)


def test_names_that_do_not_exist():
    with pytest.raises(WorkbookValueError, match="Unknown distance 'euclid'. Did you mean 'euclidean'?"):
        retrieval_scores(QUERY, line([7, 3], [2, 2]), "euclid")
    found = retrieval_scores(QUERY, line([7, 3], [2, 2]))
    for name in ("cmc_0", "cmc", "mAP2", "cmc_x"):
        with pytest.raises(WorkbookValueError, match="Unknown retrieval metric"):
            found.per_query(name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30, 1e19])
def test_embeddings_that_are_not_finite(value):
    vectors = torch.ones(4, 3)
    vectors[2, 1] = value
    with pytest.raises(WorkbookValueError, match="1 of 4 embeddings are not finite or too great.*row 2"):
        Embedded(vectors, np.arange(4), np.arange(4))


def test_lengths_that_differ():
    with pytest.raises(WorkbookValueError, match="4 embeddings, 3 identities and 4 cameras"):
        Embedded(torch.ones(4, 3), np.arange(3), np.arange(4))
    with pytest.raises(WorkbookValueError, match=r"\[images, dimensions\]"):
        Embedded(torch.ones(4), np.arange(4), np.arange(4))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_what_all_embeddings_share_costs_no_digits(distance):
    generator = torch.Generator().manual_seed(0)
    vectors = 1 + 1e-4 * torch.randn(60, 32, generator=generator)
    exact = torch.nn.functional.normalize(vectors.double(), dim=1) if distance == "cosine" else vectors.double()
    expected = torch.cdist(exact, exact, compute_mode="donot_use_mm_for_euclid_dist")
    expected = expected.square() / 2 if distance == "cosine" else expected
    each = Embedded(vectors, np.arange(60), np.zeros(60, dtype=int))
    found = torch.cat([*distance_blocks(each, each, distance)]).double()
    off = ~torch.eye(60, dtype=torch.bool)
    torch.testing.assert_close(found[off], expected[off], rtol=2e-3, atol=0)
