"""Verdicts follow from intervals and corrected p-values; a claim that cannot be tried says why."""

import math
from dataclasses import replace

import pytest

from lib.claims import CLAIMS, NOT_TRIED, REFUTED, SHOWN, UNDECIDED
from lib.claims.claim import KINDS, verdict
from lib.claims.trial import configs, trial, unsuited
from lib.paths import NOTEBOOKS
from lib.statistics.estimates import Comparison
from lib.training.profiles import PROFILES
from lib.training.store import RunStore

GAIN = replace(CLAIMS["GLSA: relations"], size=0.02)
NONE = replace(CLAIMS["GLSA: control"], size=0.02)


def difference(low: float, high: float) -> Comparison:
    return Comparison("accuracy", (low + high) / 2, low, high, 0.04, 1.0, "", "", 5, 100)


@pytest.mark.parametrize(
    ("claim", "low", "high", "corrected", "expected"),
    [
        (GAIN, 0.05, 0.20, 0.01, SHOWN),
        (GAIN, 0.01, 0.09, 0.20, UNDECIDED),  # its own interval excludes 0, but not over all claims
        (GAIN, -0.20, -0.05, 0.01, REFUTED),
        (GAIN, -0.015, 0.019, 0.9, REFUTED),  # a gain that matters is excluded
        (GAIN, 0.001, 0.015, 0.01, REFUTED),  # there is one, which does not matter
        (GAIN, -0.05, 0.05, 0.9, UNDECIDED),
        (GAIN, 0.05, 0.20, None, UNDECIDED),  # one seed
        (GAIN, math.nan, math.nan, 0.01, UNDECIDED),
        (NONE, -0.01, 0.019, 0.9, SHOWN),
        (NONE, 0.001, 0.019, 0.01, SHOWN),  # significant, and too small to matter
        (NONE, -0.03, 0.01, 0.9, UNDECIDED),
        (NONE, 0.03, 0.20, 0.01, REFUTED),
        (NONE, -0.20, -0.03, 0.01, REFUTED),
    ],
)
def test_a_verdict_follows_from_interval_size_and_corrected_p(claim, low, high, corrected, expected):
    assert verdict(claim, difference(low, high), corrected) == expected


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_claim_can_be_read_and_its_arms_differ_in_the_mechanism_alone(claim):
    assert claim.sentence.endswith(".")
    assert claim.reason
    assert 0 < claim.size < 0.1
    assert (NOTEBOOKS / f"{claim.notebook}.ipynb").exists()
    assert claim.kinds or claim.needs  # what it takes of a data set
    assert {*claim.kinds} <= {*KINDS}
    assert claim.points_of.startswith("points of ")
    assert claim.recipe in PROFILES
    arms = configs(claim, seeds=2)
    assert [run.seed for run in arms[0]] == [0, 1]
    if claim.second is not None:
        changed = {name for name, value in claim.first.items() if claim.second.get(name) != value}
        assert arms[0][0].replace(**{name: getattr(arms[1][0], name) for name in changed}) == arms[1][0]


def test_a_claim_that_a_data_set_does_not_suit_says_what_it_would_need(tmp_path):
    for dataset in ("HAM10000", "Market-1501", "CUB-200-2011"):
        assert "told at one place" in unsuited(NONE, dataset)
    assert unsuited(GAIN, "HAM10000") == ""
    assert unsuited(GAIN, "Market-1501") == (
        "It would need a data set for classification; Market-1501 is for re-identification."
    )
    assert trial(GAIN, RunStore(tmp_path), dataset="Market-1501").verdict == NOT_TRIED


def test_a_recipe_that_is_not_there_harms_nothing(tmp_path):
    told = trial(replace(GAIN, recipe="pears"), RunStore(tmp_path))
    assert told.comparison is None
    assert "pears" in told.missing
    assert told.verdict == NOT_TRIED


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.name)
def test_the_notebook_that_looks_closer_is_there(claim):
    assert (NOTEBOOKS / f"{claim.notebook}.ipynb").exists()


def test_lesa_is_tried_on_real_images_with_a_backbone_that_it_can_have():
    arms = configs(CLAIMS["LESA: context term"], seeds=1, dataset="HAM10000")
    assert [(arm[0].backbone, arm[0].attention) for arm in arms] == [
        ("resnet26_small", "lesa"),
        ("resnet26_small", "none"),
    ]
