"""The table of retrieval scores says what the statistics do."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.report.tables.cells import Cell
from lib.report.tables.retrieval_table import score_cell, scores_table, split_table
from lib.report.tables.verdicts import comparison_text, verdict
from lib.retrieval.ranking import COLUMNS, RetrievalScores
from lib.statistics.retrieval_estimates import compare_retrieval, estimate_retrieval


def scores(seed, skill=0.0):
    ap = 1 / (1 + np.exp(-skill - np.random.default_rng(seed).normal(size=80)))
    columns = (np.arange(80) // 2, np.arange(80) % 2, np.full(80, 5), ap, ap**2, np.ceil(1 / ap))
    return RetrievalScores(pd.DataFrame(dict(zip(COLUMNS, columns, strict=True))))


@pytest.fixture
def models():
    return {"SA": [scores(0), scores(1)], "DCAL": [scores(2, 0.5), scores(3, 0.6)], "pixels": [scores(4)]}


def test_a_row_a_model_with_its_difference(models):
    table = scores_table(models, "SA").cells.droplevel(0, axis="columns").set_index("model")
    assert [name.text for name in table.index] == list(models)
    assert list(table) == ["mAP", "mAP less SA's (points)", "mINP", "CMC-1", "CMC-5", "CMC-10"]
    own, of_dcal, _ = table["mAP less SA's (points)"]
    assert of_dcal == Cell.points(compare_retrieval(models["DCAL"], models["SA"]))
    assert own == Cell.absent()


def test_a_score_has_its_spread_with_several_seeds_only(models):
    found, cell = estimate_retrieval(models["SA"]), score_cell(models["SA"])
    assert cell.text == f"{found.mean:.3f} ± {found.sd:.3f}"
    assert cell.below == f"[{found.low:.3f}, {found.high:.3f}]"
    assert "±" not in score_cell(models["pixels"], "cmc_1").text


def test_comparisons_of_retrieval_are_told_as_those_of_classification(models):
    assert "points of mAP (95 % interval" in comparison_text(compare_retrieval(models["DCAL"], models["SA"]))
    one = compare_retrieval(models["DCAL"][:1], models["SA"][:1], "cmc_1")
    assert "over test images, one training each" in verdict(one, "DCAL", "SA")
    assert "points of CMC-1" in verdict(one, "DCAL", "SA")


def test_the_split_tells_what_each_part_holds():
    identity = [3, 3, 5, 7, 3, 5, 0, 0, -1, 9]
    rows = pd.DataFrame({"identity": identity})
    parts = pd.Series(["train", "train", "val", "query", *["gallery"] * 6])
    table = split_table(SimpleNamespace(name="made", rows=rows), parts).data
    assert table.loc["train"].tolist() == [2, 1, 0, 0]
    assert table.loc["gallery"].tolist() == [6, 3, 2, 1]
