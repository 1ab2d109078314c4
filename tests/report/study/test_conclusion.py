"""A study's numbers and verdict, of an empty store and of one whose networks differ."""

from lib.claims import REFUTED, SHOWN, UNDECIDED
from lib.report.study.conclusion import study_figures, study_verdict
from lib.report.study.criteria import criteria


def test_of_an_empty_store_everything_is_undecided_and_says_why(written):
    study = written.study()
    found = criteria(study, [])
    figures = study_figures(study, found)
    assert figures["runs finished"] == f"0 of {study.progress[1]}"
    assert figures["inflation by a leaky split, resnet18"] == "missing"
    assert set(figures["the six criteria"].values()) == {UNDECIDED}
    first, *reasons = study_verdict(study, found)
    assert first.startswith("Of 6 criteria 0 are shown, 0 are refuted and 6 are undecided (accuracy, fusion, ")
    assert len(reasons) == 6
    assert "runs are missing" in reasons[0]


def test_of_finished_runs_the_verdict_counts_and_networks_at_chance_are_told(written):
    written.finish_table("backbones", {"resnet18": 0.75, "resnet34": 0.34})
    written.finish_table("attention", {"resnet18": 0.95, "resnet34": 0.95})
    written.finish_table("fusion", {"original": 0.95, "learnable_gate": 0.6, "weighted_add": 0.6})
    study = written.study()
    found = criteria(study, [])
    assert [criterion.verdict for criterion in found[:2]] == [SHOWN, REFUTED]
    verdict = study_verdict(study, found)
    assert verdict[0].startswith("Of 6 criteria 1 is shown (accuracy), ")
    assert verdict[-1] == "At chance in balanced accuracy, and so no evidence on any method, are 1 of 6 configurations."
