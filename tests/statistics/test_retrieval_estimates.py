"""Intervals and tests of retrieval against the statistics of runs, direct resampling, and simulation."""

import math

import numpy as np
import pandas as pd
import pytest

from lib.errors import WorkbookValueError
from lib.retrieval.ranking import COLUMNS, RetrievalScores
from lib.statistics.intervals import uncertainty
from lib.statistics.retrieval_estimates import compare_retrieval, estimate_retrieval
from lib.training.metrics import Resampled

PEOPLE, QUERIES = 60, 3


def scores(seed, skill=0.0, people=PEOPLE, world=0):
    """Scores of a network of `seed`: identities are hard or easy for all networks, queries for one."""
    shared, own = np.random.default_rng(world), np.random.default_rng([world, seed])
    identity = np.repeat(np.arange(1, people + 1), QUERIES)
    logit = skill + own.normal(0, 0.1) + shared.normal(size=people)[identity - 1] + 0.5 * own.normal(size=len(identity))
    ap = 1 / (1 + np.exp(-logit))
    first = np.maximum(1, np.round(3 * (1 - ap) + 1 / ap - 1)).astype(float)
    columns = (identity, np.tile(np.arange(QUERIES), people), np.full(len(ap), 5), ap, ap**2, first)
    return RetrievalScores(pd.DataFrame(dict(zip(COLUMNS, columns, strict=True))))


@pytest.fixture(scope="module")
def plain():
    return [scores(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def better():
    return [scores(seed, skill=0.4) for seed in range(10, 13)]


@pytest.mark.parametrize("metric", ["map", "minp", "cmc_1", "cmc_3"])
def test_an_estimate_is_the_mean_over_seeds(plain, metric):
    found = estimate_retrieval(plain, metric)
    values = [s.metrics([metric])[metric] for s in plain]
    assert (found.mean, found.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert found.low < found.mean < found.high
    assert (found.seeds, found.images, found.groups) == (3, PEOPLE * QUERIES, PEOPLE)


def test_one_seed_has_the_interval_of_resampled_identities(plain):
    found = estimate_retrieval(plain[:1])
    ap, identity = plain[0].per_query("map"), plain[0].queries["identity"].to_numpy()
    rng = np.random.default_rng(5)
    rows = [np.flatnonzero(identity == i) for i in range(1, PEOPLE + 1)]
    means = [ap[np.concatenate([rows[i] for i in rng.integers(0, PEOPLE, PEOPLE)])].mean() for _ in range(4000)]
    assert (found.low, found.high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.005)
    alone = Resampled(np.arange(len(ap))).weights[1:] @ ap / len(ap)
    assert found.high - found.low > 1.3 * np.ptp(np.percentile(alone, [2.5, 97.5]))


def test_a_comparison_is_that_of_paired_resamples(plain, better):
    found = compare_retrieval(better, plain)
    sides = [np.column_stack([s.per_query("map") for s in side]) for side in (better, plain)]
    weights = Resampled(plain[0].queries["identity"]).weights[1:] / (PEOPLE * QUERIES)
    expected = uncertainty([s.mean(axis=0) for s in sides], [weights @ s for s in sides])
    assert found.difference == pytest.approx(sides[0].mean() - sides[1].mean())
    assert (found.low, found.high) == pytest.approx(expected.interval(found.difference))
    assert found.p == pytest.approx(expected.p_value(found.difference))
    assert found.p < 0.05
    back = compare_retrieval(plain, better)
    assert (back.difference, back.p) == pytest.approx((-found.difference, found.p))


def moved(found, by):
    """The scores of networks that answer every query alike, but for `by` points of average precision."""
    return [RetrievalScores(s.queries.assign(average_precision=s.queries["average_precision"] + by)) for s in found]


def test_the_same_networks_are_compared_seed_by_seed(plain):
    found, apart = (compare_retrieval(moved(plain, 0.01), plain, same_networks=same) for same in (True, False))
    assert (found.difference, found.low, found.high) == pytest.approx((0.01, 0.01, 0.01))
    assert found.p < 0.001 < apart.p  # each network gains the same, though networks differ
    with pytest.raises(WorkbookValueError, match="3 networks on one side and 2 on the other"):
        compare_retrieval(plain, plain[:2], same_networks=True)


def test_one_seed_supports_no_claim(plain, better):
    found = compare_retrieval(better[:1], plain)
    assert found.p is None
    assert math.isfinite(found.low)
    assert "no claim" in found.test


def test_a_model_against_itself(plain):
    found = compare_retrieval(plain, plain)
    assert (found.difference, found.p) == (0, 1)


def test_intervals_cover_nineteen_times_of_twenty():
    truth = np.mean([scores(0, world=w, people=2000).metrics()["map"] for w in range(40)])
    covered = 0
    for world in range(1, 301):
        found = estimate_retrieval([scores(s, world=world) for s in range(3)])
        covered += found.low <= truth <= found.high
    assert covered / 300 == pytest.approx(0.95, abs=0.03)


def test_the_band_of_the_cmc_curve(plain):
    band = [estimate_retrieval(plain, f"cmc_{k}") for k in range(1, 6)]
    ranks = [[s.metrics([f"cmc_{k}"])[f"cmc_{k}"] for k in range(1, 6)] for s in plain]
    assert [e.mean for e in band] == pytest.approx(np.mean(ranks, axis=0))
    assert all(e.low <= e.mean <= e.high for e in band)


def test_skipped_queries_are_left_out(plain):
    holes = plain[0].queries.copy()
    holes.loc[:9, ["matches", "average_precision"]] = (0, np.nan)
    found = estimate_retrieval([RetrievalScores(holes)])
    assert found.images == PEOPLE * QUERIES - 10
    assert found.mean == pytest.approx(holes["average_precision"].mean())


def test_scores_that_cannot_be_paired(plain):
    other = [scores(0, people=50)]
    for call in (lambda: estimate_retrieval([*plain, *other]), lambda: compare_retrieval(plain, other)):
        with pytest.raises(WorkbookValueError, match="different queries or galleries"):
            call()
    for call in (
        lambda: estimate_retrieval([]),
        lambda: compare_retrieval([], plain),
        lambda: compare_retrieval(plain, []),
    ):
        with pytest.raises(WorkbookValueError, match="no scores"):
            call()
