"""What notebook 05 concludes follows from the leaderboard and the cascades, and from nothing else."""

import numpy as np
import pandas as pd

from lib.report.study.explanation_conclusions import (
    cautions,
    explanation_figures,
    explanation_verdict,
    likeness_table,
    mean_and_range,
    ranking_verdict,
)

NAN = float("nan")
LEFT = {"cam": np.array([[0.4, 0.1], [0.2, -0.1]]), "edges": np.array([[0.9, 0.8], [1.0, NAN]])}


def board(**beats):
    """A leaderboard of two scores: method → whether it beats the references in each."""
    rows = [
        {"method": name, "score": score, "beats": beat, "p": 0.01}
        for name, both in beats.items()
        for score, beat in zip(("deletion", "road"), both, strict=True)
    ]
    references = [{"method": "centre", "score": score, "beats": None, "p": NAN} for score in ("deletion", "road")]
    return pd.DataFrame(rows + references)


def test_the_best_are_named_and_so_are_those_that_never_win():
    first, second = explanation_verdict(board(cam=(True, True), edges=(False, False)), LEFT, 20)
    assert first.endswith(
        "20 images cam beats the best reference map in 2 of 2 scores, more than any other method; edges in none."
    )
    assert (
        second
        == "edges hardly changed when the network forgot: such a map says little about the network. Unknown of edges, whose maps became even."
    )


def test_a_map_turned_over_did_not_stay_as_it_was():
    left = {name: np.array([[value], [value]]) for name, value in {"a": 0.6, "b": -0.6, "c": -0.4}.items()}
    told = explanation_verdict(board(a=(False, False)), left, 20)[1]
    assert told == (
        "a hardly changed when the network forgot; b turned over, dark for bright, when the network forgot: "
        "such a map says little about the network."
    )


def test_nobody_wins():
    first, second = explanation_verdict(board(cam=(False, False)), {"cam": LEFT["cam"]}, 20)
    assert first.endswith("no method beats the best reference map in any score.")
    assert second == "No map stayed alike when the network forgot."


def test_key_figures_are_at_most_six():
    figures = explanation_figures(board(cam=(True, False)), LEFT, "20", "n")
    assert figures["scores in which a method beats the best reference map"] == {"cam": "1 of 2"}
    assert figures["likeness left when all is forgotten"] == {
        "cam": "0.00 (−0.10 to 0.10)",
        "edges": "0.80, 1 of 2 draws",
    }
    assert len(figures) <= 6


def test_likeness_is_told_stage_by_stage():
    table = likeness_table(LEFT, ["fc", "conv1"])
    assert table.data.loc["cam", "from fc"] == "0.30 (0.20 to 0.40)"
    assert "mean of 2 draws" in table.caption
    assert mean_and_range(np.array([NAN])) == "unknown"
    assert mean_and_range(np.array([-0.001])) == "0.00"


def test_what_the_leaderboard_cannot_say_is_told():
    table = board(cam=(True, True))
    assert cautions(table, 20, None) == []
    (few,) = cautions(table, 5, None)
    assert few.startswith("With 5 groups of images and 2 tests no p is below 0.12 after Holm's")
    (chance,) = cautions(table, 20, 7)
    assert "reaches 1/7" in chance


def test_a_rank_over_scores_is_told_with_its_doubts():
    rows = [("centre", 1.8, None, 0.8), ("cam", 2.0, False, 0.2), ("edges", 2.2, False, 1.1)]
    table = pd.DataFrame(
        [
            {"method": m, "rank": r, "low": 1.5, "high": 2.5, "beats": b, "disagreement": d, "reference": "centre"}
            for m, r, b, d in rows
        ]
    )
    by_score = pd.DataFrame(2.0, ["centre", "cam", "edges"], ["deletion", "entropy", "ROAD MoRF", "overlap"])
    told = ranking_verdict(table, by_score, 0.314)
    assert "Over 4 scores cam has the best rank of a method that is no reference map, 2.0 [1.5, 2.5] of 3," in told
    assert "is not shown to beat the best reference map, centre" in told
    assert "most about edges (± 1.1 ranks)" in told
    assert told.endswith("W = 0.31, where 1 is one order and 0.25 what chance gives.")
    assert "beats the best" in ranking_verdict(table.replace({"beats": {False: True}}), by_score, NAN)
    assert "W =" not in ranking_verdict(table, by_score, NAN)
