"""What notebook 04 concludes is what the comparisons say, and networks at chance are named."""

import numpy as np
import pandas as pd
import pytest

from lib.evaluation.attention_study import AttentionMeasures, compare_attention
from lib.report.study.dcal_conclusions import key_figures, selections_table, sentences
from lib.report.tables.verdicts import comparison_text
from lib.statistics.estimates import compare
from lib.training import RunConfig

SELECTIONS = pd.DataFrame(
    {"patches": [4, 4], "own": [1, 0.5], "changed": [0, 0.125], "moved": [0, 1e-3]}, ["rollout", "random"]
)


@pytest.fixture
def methods(written):
    """SA is at chance, DCAL is not."""
    names = {"SA": 0.34, "SA+PWCA": 0.7, "DCAL": 0.97}
    return {
        name: [written.finish(RunConfig(dataset="phantom-birds", attention=name, seed=s), right) for s in range(3)]
        for name, right in names.items()
    }


@pytest.fixture
def measures():
    """Three seeds on 40 images: DCAL looks at the parts more than SA, SA+PWCA covers as much as SA."""
    rng = np.random.default_rng(0)
    means = {"SA": (0.2, 0.3), "SA+PWCA": (0.2, 0.3), "DCAL": (0.5, 0.3), "centre": (0.1, 0.6)}
    return {
        name: AttentionMeasures(
            {"at the parts": rng.normal(parts, 0.05, (3, 40)), "coverage": rng.normal(covered, 0.05, (3, 40))},
            np.arange(40),
        )
        for name, (parts, covered) in means.items()
    }


def test_key_figures_are_six_at_most_and_those_of_the_comparisons(methods, measures):
    reference = {"centre": measures.pop("centre")}
    figures = key_figures(methods, measures, reference, SELECTIONS)
    assert len(figures) <= 6
    assert list(figures["accuracy"]) == list(methods)
    assert figures["DCAL − SA"] == comparison_text(compare(methods["DCAL"], methods["SA"], "accuracy"))
    assert figures["attention at the parts"] == {"SA": "20 %", "SA+PWCA": "20 %", "DCAL": "50 %", "centre": "10 %"}
    spread = compare_attention(measures["SA+PWCA"], measures["SA"], "coverage")
    assert figures["SA+PWCA − SA"] == comparison_text(spread)
    assert figures["answers that another selection changes"] == "12.5 % at most"


def test_sentences_follow_the_intervals(methods, measures):
    accuracy, coverage, parts, unlearned = sentences(methods, measures)
    assert accuracy.startswith("DCAL is ahead of SA: +")
    assert coverage.startswith("No difference between SA+PWCA's attention and SA's is shown")
    assert parts.startswith("DCAL's attention is more at the parts than SA's: +")
    assert unlearned.startswith("Not above chance")
    assert "SA (seed 0)" in unlearned
    assert "DCAL" not in unlearned
    del methods["SA+PWCA"], measures["SA+PWCA"]  # without the switches DCAL tells of the spread
    assert sentences(methods, measures)[1].startswith("No difference between DCAL's attention and SA's")


def test_the_table_of_selections_says_what_its_columns_are():
    html = selections_table(SELECTIONS, "mean").to_html()
    assert "readout: mean" in html
    assert "images answered otherwise" in html
    assert "12.5%" in html
