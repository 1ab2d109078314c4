"""Claims as a table, as Markdown and as the rows of the index."""

from dataclasses import replace

import pytest

from lib.claims import CLAIMS, NOT_TRIED, REFUTED, SHOWN, Trial
from lib.claims.trial import configs, measured
from lib.report.tables.claims_table import claim_rows, claims_figures, claims_table, verdict_on_claims
from lib.report.tables.markdown_table import markdown_of
from lib.statistics.estimates import SAME_NETWORKS, SEEDS_AND_IMAGES, holm

GAIN = replace(CLAIMS["GLSA: relations"], recipe="quick")


@pytest.fixture
def tried(written):
    """A gain of twenty points, a loss, and a claim that was not tried."""
    with_block, bare = configs(GAIN, seeds=3)
    better = [written.finish(config, right=0.8) for config in with_block]
    worse = [written.finish(config, right=0.6) for config in bare]
    sides = {GAIN.name: (better, worse), "a loss": (worse, better)}
    raw = [Trial(replace(GAIN, name=name), arms, measured(GAIN, *arms)) for name, arms in sides.items()]
    corrected = holm([trial.comparison.p for trial in raw])
    trials = [replace(trial, corrected=p) for trial, p in zip(raw, corrected, strict=True)]
    return [*trials, Trial(replace(GAIN, name="untried"), missing="It would need identities.")]


def test_the_table_tells_effect_p_and_verdict_of_each_claim(tried):
    table = claims_table(tried)
    assert [cell.text for cell in table.cells["", "verdict"]] == [SHOWN, REFUTED, NOT_TRIED]
    effects = table.cells["", "effect"]
    assert float(effects[0].columns["difference"]) == pytest.approx(20, abs=8)
    assert effects[2].text == "–"
    assert table.notes[-1] == "untried: It would need identities."
    html = table._repr_html_()
    assert 'class="verdict shown"' in html
    assert 'class="verdict not-tried"' in html
    assert '<a href="02_glsa_training.ipynb">phantom-lesions</a><small>notebook 02</small>' in html
    assert "3 seeds a side" in table.caption


def test_a_long_second_line_is_broken_too_so_that_the_table_keeps_its_width(tried):
    short, long = (
        claims_table([replace(tried[0], claim=replace(GAIN, names=names))])
        for names in (("with", "without"), ("Grad-CAM", "the best map that knows nothing"))
    )
    of = short.headings.index(("", "of"))
    assert not short.long[of]
    assert long.long[of]


def test_arms_may_be_compared_seed_by_seed(tried):
    trial = tried[0]
    paired = replace(GAIN, seed_by_seed=True)
    assert measured(paired, *trial.arms).test == SAME_NETWORKS
    assert trial.comparison.test == SEEDS_AND_IMAGES
    assert [round(level.mean, 1) for level in trial.levels] == [0.8, 0.6]
    assert len(trial.scores[0]) == 3


def test_the_verdict_is_one_sentence_that_names_the_claims(tried):
    assert verdict_on_claims(tried) == (
        "Of 3 claims 1 is shown (GLSA: relations), 1 is refuted (a loss), 0 are undecided and 1 is not tried (untried)."
    )
    assert verdict_on_claims(tried[:2]) == (
        "Of 2 claims 1 is shown (GLSA: relations), 1 is refuted (a loss) and 0 are undecided."
    )
    assert verdict_on_claims(tried[:1]) == "Of 1 claim 1 is shown (GLSA: relations), 0 are refuted and 0 are undecided."
    assert claims_figures(tried)["claims not tried"] == "1 of 3"
    assert "claims not tried" not in claims_figures(tried[:2])


def test_the_index_gets_a_row_a_claim(tried):
    rows = claim_rows(tried)
    assert [row["verdict"] for row in rows] == [SHOWN, REFUTED, NOT_TRIED]
    assert rows[0]["effect"].startswith("+")
    assert rows[0]["effect"].endswith("points of balanced accuracy")
    assert rows[2] == {
        "claim": GAIN.sentence,
        "effect": "It would need identities.",
        "verdict": NOT_TRIED,
        "notebook": "02_glsa_training",
    }


def test_a_table_as_markdown_has_its_links_verdicts_and_intervals_in_a_line_each(tried):
    lines = markdown_of(claims_table(tried), "notebooks/").splitlines()
    assert lines[0].startswith("*The papers' claims on trial")
    assert lines[2] == "| verdict | claim | effect | of | p (Holm) | matters from | task |"
    assert lines[3] == "| :-- | :-- | --: | :-- | --: | --: | :-- |"
    assert lines[4].startswith(f"| **shown** | {GAIN.sentence} GLSA: relations · ")
    assert lines[4].endswith("| 2 | [phantom-lesions](notebooks/02_glsa_training.ipynb) notebook 02 |")
    assert " [+" in lines[4]
    assert len({line.count("|") for line in lines[2:7]}) == 1
