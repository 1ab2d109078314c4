"""Ranks over all scores, against a loop over images and scores."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from lib.errors import WorkbookValueError
from lib.explain import SCORES, rank_methods
from lib.explain.scores.leaderboard import MARK
from lib.explain.scores.method_ranks import readable

N = 30
METHODS = ("good", "same", "random", "noise", "centre")


def made_up(scores, better=None, networks=None):
    """Scores by chance, in which a method is `better` {(method, score): by so many standard deviations}."""
    rng, better = np.random.default_rng(0), better or {}
    shape = (N,) if networks is None else (networks, N)
    return {
        method: {
            score: SCORES[score].best * (better.get((method, score), 0) + rng.standard_normal(shape))
            for score in scores
        }
        for method in METHODS
    }


def test_a_rank_is_the_mean_over_scores_and_images():
    scores = ("deletion", "insertion", "entropy")
    given = made_up(scores)
    given["good"]["entropy"][:5] = np.nan
    ranking = rank_methods(given, range(N))
    by_score = {}
    for score in scores:
        signed = np.array([-SCORES[score].best * given[method][score] for method in METHODS])
        ranks = np.array([rankdata(signed[:, i]) for i in range(5 if score == "entropy" else 0, N)])
        by_score[score] = ranks.mean(0)
        assert ranking.by_score.loc[list(METHODS), score].tolist() == pytest.approx(by_score[score].tolist())
    table = ranking.table.set_index("method")
    assert ranking.table["rank"].is_monotonic_increasing
    assert table["rank"].sum() == pytest.approx(1 + 2 + 3 + 4 + 5)
    for i, method in enumerate(METHODS):
        spread = np.std([by_score[score][i] for score in scores])
        assert table.loc[method, "disagreement"] == pytest.approx(spread)
    assert (table["low"] < table["rank"]).all()
    assert not table["beats"].fillna(False).any()


def test_who_is_best_by_all_scores_beats_the_best_reference():
    scores = ("deletion", "insertion", "max-sensitivity")
    better = {("good", score): 2 for score in scores} | {("centre", "deletion"): 0.7}
    ranking = rank_methods(made_up(scores, better), [f"lesion {i // 2}" for i in range(N)])
    assert ranking.table["method"][0] == "good"
    first = ranking.table.iloc[0]
    assert first["beats"] is True
    assert first["reference"] == "centre"
    assert first["gain"] == pytest.approx(ranking.table.set_index("method").loc["centre", "rank"] - first["rank"])
    told = readable(ranking)
    assert list(told.columns) == ["rank of 5", "disagreement"]
    assert not told.loc["good", "rank of 5"].endswith(MARK)
    assert told.loc["same", "rank of 5"].endswith(MARK)
    several = rank_methods(made_up(scores, better, networks=3), range(N)).table
    assert several.loc[0, "beats"] is True


def test_a_map_that_knows_nothing_may_win_a_score():
    """As the centre wins max-sensitivity: then it is the reference, and scores disagree."""
    scores = ("deletion", "max-sensitivity")
    better = {("good", "deletion"): 9, ("centre", "max-sensitivity"): 9}
    ranking = rank_methods(made_up(scores, better), range(N))
    assert ranking.by_score.loc["good", "deletion"] == ranking.by_score.loc["centre", "max-sensitivity"] == 1
    assert ranking.table.set_index("method").loc["good", "beats"] is False


def test_concordance_is_kendalls():
    """(1 + (k − 1) × the mean correlation of two scores' orders) / k, where next to nothing is equal."""
    scores = ("deletion", "insertion", "sparseness", "entropy")
    ranking = rank_methods(made_up(scores, {("good", score): 1 for score in scores}), range(N))
    mean = spearmanr(ranking.by_score).statistic[np.triu_indices(4, 1)].mean()
    assert ranking.concordance == pytest.approx((1 + 3 * mean) / 4, rel=1e-3)
    assert np.isnan(rank_methods(made_up(scores[:1]), range(N)).concordance)


def test_what_cannot_be_ranked():
    given = made_up(("deletion",))
    with pytest.raises(WorkbookValueError, match="No reference map"):
        rank_methods({"good": given["good"]}, range(N))
    with pytest.raises(WorkbookValueError, match="two groups"):
        rank_methods(given, ["one lesion"] * N)
    with pytest.raises(WorkbookValueError, match="for groups of 3 images"):
        rank_methods(given, range(3))
