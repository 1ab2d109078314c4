"""What notebook 08 concludes is what the comparisons of searches say."""

import numpy as np
import pandas as pd
import pytest

from lib.report.study.reid_conclusions import key_figures, sentences
from lib.report.tables.verdicts import comparison_text, estimate_text
from lib.retrieval.ranking import COLUMNS, RetrievalScores
from lib.statistics.retrieval_estimates import compare_retrieval, estimate_retrieval


def scores(seed, skill):
    ap = 1 / (1 + np.exp(-skill - np.random.default_rng(seed).normal(0, 0.5, 80)))
    columns = (np.arange(80) // 2, np.arange(80) % 2, np.full(80, 5), ap, ap**2, np.round(1 / ap))
    table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
    unmatched = pd.DataFrame([(99, 0, 0, np.nan, np.nan, np.nan)], columns=COLUMNS)
    return RetrievalScores(pd.concat([table, unmatched], ignore_index=True))


@pytest.fixture
def searches():
    networks = {"SA": [scores(seed, 0) for seed in range(3)], "DCAL": [scores(seed, 1.5) for seed in range(3, 6)]}
    again = {"DCAL, re-ranked": [scores(seed, 3) for seed in range(3, 6)]}
    return networks, again, [scores(9, 0.8)]


def test_key_figures_are_six_and_those_of_the_comparisons(searches):
    networks, _, pixels = searches
    figures = key_figures(*searches, chance=0.1234)
    assert len(figures) == 6
    assert figures["mAP"]["DCAL"] == estimate_text(estimate_retrieval(networks["DCAL"]))
    assert figures["mAP"]["chance"] == "0.12"
    assert figures["CMC-1"]["pixels"] == estimate_text(estimate_retrieval(pixels, "cmc_1"))
    assert figures["DCAL − SA"] == comparison_text(compare_retrieval(networks["DCAL"], networks["SA"]))
    assert "3 seeds a side" in figures["DCAL − pixels"]  # what has no seeds stands beside each
    assert figures["queries"] == "80, and 1 that no other camera has seen"


def test_sentences_follow_the_intervals(searches):
    networks, again, _ = searches
    ahead, beyond, reranked = sentences(*searches)
    assert ahead.startswith("DCAL is ahead of SA: +")
    assert (
        beyond
        == "In mAP DCAL finds more than a comparison of pixels; in CMC-1 DCAL finds more than a comparison of pixels."
    )
    assert reranked.startswith("DCAL with re-ranking is better than DCAL without: +")
    assert sentences(networks, again, [scores(9, -2)])[1].startswith("In mAP SA and DCAL find more")
    no_network = "no network is shown to find more than a comparison of pixels"
    assert sentences(networks, again, [scores(9, 4)])[1] == f"In mAP {no_network}; in CMC-1 {no_network}."


def test_what_is_shown_of_one_metric_is_not_said_of_the_other(searches):
    networks, again, (pixels,) = searches
    quick = RetrievalScores(pixels.queries.assign(first_match=1))
    told = sentences(networks, again, [quick])[1]
    assert told == (
        "In mAP DCAL finds more than a comparison of pixels; "
        "in CMC-1 no network is shown to find more than a comparison of pixels."
    )
