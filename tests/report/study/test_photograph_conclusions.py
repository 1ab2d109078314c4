"""What notebook 10 concludes follows from answers, viewpoints and the leaderboard."""

import numpy as np
import pandas as pd

from lib.report.study.photograph_conclusions import photograph_key_figures, photograph_verdict

PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.3]])
SEEN = pd.DataFrame({"viewpoint": ["as shown", "mirrored", "mirrored"], "same": [True, True, False]})
STEADY = pd.DataFrame({"mean": [0.9, 0.2]}, index=["cam", "edges"])


def verdict(*beats):
    table = pd.DataFrame({"method": ["cam", "edges"], "score": "deletion", "beats": beats})
    return photograph_verdict(["cup", "moon"], PROBABILITIES, SEEN, STEADY, table)


def test_what_is_sure_and_who_wins_is_told():
    first, second = verdict(True, False)
    assert first == (
        "The network gives a class more than 0.50 for 1 of 2 photographs (cup), and keeps its answer in 1 of 2 other views."
    )
    assert second == (
        "The best reference map is beaten by cam in 1 of 1 scores. "
        "The maps that move most with the picture: cam (0.90); least: edges (0.20)."
    )


def test_nobody_wins():
    assert verdict(False, False)[1].startswith("No method beats the best reference map in any score. ")


def test_of_one_photograph_nothing_is_said_that_needs_two():
    one = PROBABILITIES[:1]
    first, second = photograph_verdict(["cup"], one, SEEN, STEADY, None)
    assert first.startswith("The network gives a class more than 0.50 for 1 of 1 photographs (cup)")
    assert second == "The maps that move most with the picture: cam (0.90); least: edges (0.20)."
    figures = photograph_key_figures("net", one, SEEN, STEADY, None, None)
    assert [*figures] == [
        "network",
        "photographs with a class above 0.5",
        "other views with the same answer",
        "maps that move with the picture most",
    ]
