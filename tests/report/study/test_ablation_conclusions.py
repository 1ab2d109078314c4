"""What notebook 03 concludes is what the study's criteria say, and with one seed nothing."""

from lib.evaluation.learned_gates import Gate
from lib.report.study import ablation_conclusions
from lib.report.study.ablation_conclusions import (
    ablation_figures,
    ablation_verdict,
    networks_at_chance,
    strategies_apart,
)
from lib.report.study.study import block_config

GATES = [
    Gate("fusion learnable_gate", "gate", "", (), (0.5, 0.6), 0.5),
    Gate("residual progressive", "alpha", "", (), (0.3, 0.3), 0.1),
]


def test_without_runs_nothing_is_claimed(written):
    study = written.study()
    figures = ablation_figures(study, [])
    assert len(figures) == 6
    assert figures["runs"] == "fusion 0 of 9; residual 0 of 6"
    assert figures["best fusion on validation"] == "none trained yet"
    assert figures["gate that moved most"] == "none"
    first, second = ablation_verdict(study)
    assert first.startswith("With 0 seeds of some strategies no claim can be made")
    assert study.command in second


def test_three_seeds_are_judged(written):
    written.finish_table("fusion", {"original": 0.6, "learnable_gate": 0.9, "weighted_add": 0.6})
    written.finish_table("residual", {"original": 0.9, "progressive": 0.9})
    study = written.study()
    figures = ablation_figures(study, GATES)
    assert figures["runs"] == "fusion 9 of 9; residual 6 of 6"
    assert figures["gate that moved most"] == "residual progressive: 0.10 → 0.30"
    first, second, fusions, residuals = ablation_verdict(study)
    assert first == f"More than 1 point over the original fusion? {figures['more than 1 point over original']}."
    assert "converge sooner" in second
    assert fusions.startswith("Of 2 fusions learnable_gate (+")
    assert " differs from the original one in balanced accuracy; undecided: weighted_add, where up to " in fusions
    assert residuals.startswith("Of 1 residuals none is shown to differ from the original one")


def test_strategies_whose_intervals_are_narrow_are_told_to_be_alike(written, monkeypatch):
    written.finish_table("fusion", {"original": 0.6, "learnable_gate": 0.9, "weighted_add": 0.6})
    monkeypatch.setattr(ablation_conclusions, "ALIKE", 0.3)
    told = strategies_apart(written.study(), "fusion")
    assert told.endswith("; less than 30 points lie between it and weighted_add.")


def test_networks_at_chance_are_named(written):
    written.finish_table("fusion", {"original": 0.33, "learnable_gate": 0.9})
    study = written.study()
    assert networks_at_chance(study) == "fusion: on phantom-lesions (1/3 = 33.3 %) original"
    assert "At chance in balanced accuracy" in ablation_verdict(study)[-1]


def test_a_run_to_look_into_is_of_the_ablation_and_has_a_block(written):
    config = block_config(written.study(), fusion_strategy="cross_attn")
    assert (config.fusion_strategy, config.attention, config.backbone) == ("cross_attn", "CBAM", "resnet18")
