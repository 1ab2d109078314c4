"""The tables hold what the statistics say, and what is not there is called missing."""

import math

import pandas as pd
import pytest

from lib.evaluation.efficiency import Efficiency
from lib.report.study import paper_tables
from lib.report.study.comparisons import TESTED_METRICS, comparisons
from lib.report.study.efficiency_table import Cost, efficiency_table
from lib.report.study.footnotes import AT_CHANCE, CODE, NETWORKS, ONE_SEED, PARTIAL, PHANTOM, UNLEARNED
from lib.report.study.leak_table import leak_table
from lib.report.study.transfer_table import transfer_table
from lib.report.tables.cells import Cell, p_text, signed
from lib.report.tables.table import all_notes, html_of, write_csv
from lib.statistics.estimates import compare, compare_unpaired, estimate, holm

BACKBONES = {"resnet18": 0.7, "resnet34": 0.8}
FUSIONS = {"original": 0.7, "learnable_gate": 0.9, "weighted_add": 0.72}


def every_table(study):
    yield paper_tables.backbones_table(study)
    yield paper_tables.attention_table(study)
    yield paper_tables.fusion_table(study)
    yield paper_tables.residual_table(study)
    for table in ("attention", "fusion", "residual"):
        yield paper_tables.comparisons_table(study, table, f"{table}_comparisons", "In full.")
    yield transfer_table(study)
    yield leak_table(study)
    yield paper_tables.sweep_table(study, "learning rate")


def column(table, name, group=""):
    return list(table.cells[group, name])


def efficiency(ratio=(1.1, 1.05, 1.15), parameters=11_700_000, macs=1_900_000_000):
    parts = {"total": parameters, "global": 260_000}
    return Efficiency(parts, macs, 100.0, 400.0, 9.0, 80.0, ratio, ratio, ratio, 64, 32, "cpu: x", 2, "bf16-mixed")


def test_an_empty_store_gives_tables_that_say_missing(written, tmp_path):
    for table in every_table(written.study()):
        assert all_notes(table)[-1].startswith("Missing: 0 of 3 seeds done"), table.name
        assert ">missing</span>" in html_of(table)
        assert 'title="0 of 3 seeds done' in html_of(table)
        assert "XX" not in html_of(table)
        assert pd.read_csv(write_csv(table, tmp_path)).filter(like="mean").empty


def test_a_table_that_the_protocol_does_not_have_is_told_so(written):
    study = written.study()
    study.plan.tables.pop("fusion")
    assert "has no such table" in html_of(paper_tables.fusion_table(study))


def test_a_sweep_sets_each_row_beside_the_first_one(written):
    written.finish_table("learning rate", {"0.01": 0.6, "0.001": 0.9})
    study = written.study()
    table = paper_tables.sweep_table(study, "learning rate")
    first, second = study.rows("learning rate")
    expected = compare(second.finished, first.finished, "balanced_accuracy")
    cells = column(table, "difference (points)", "balanced accuracy")
    assert cells[0].text == Cell.absent().text
    assert cells[1].text == Cell.points(expected).text
    assert expected.difference > 0


def test_table_1_holds_estimates_on_every_test_set(written, transferred):
    written.finish_table("backbones", BACKBONES)
    study = written.study()
    table = paper_tables.backbones_table(study)
    for i, row in enumerate(study.rows("backbones")):
        own, other = (column(table, "accuracy (%)", dataset)[i] for dataset in ("phantom-lesions", "phantom-clinic"))
        assert own == Cell.percent(estimate(row.finished, "accuracy"))
        assert other == Cell.percent(estimate(study.answers(row, "phantom-clinic").tests, "accuracy"))
    assert [cell.text for cell in column(table, "seeds")] == ["3 of 3", "3 of 3"]
    assert column(table, "training (min)") == [Cell.quantity(1.5, 1)] * 2
    assert PHANTOM in table.notes


def test_table_2_compares_with_the_bare_backbone(written):
    written.finish_table("backbones", BACKBONES)
    written.finish_table("attention", {"resnet18": 0.85, "resnet34": 0.83})
    study = written.study()
    found = [
        compare(row.finished, bare.finished, "accuracy")
        for row, bare in zip(study.rows("attention"), study.rows("backbones"), strict=True)
    ]
    table = paper_tables.attention_table(study)
    assert column(table, "difference (points)") == [Cell.points(each) for each in found]
    assert [cell.columns["raw"] for cell in column(table, "p (Holm)")] == [each.p for each in found]
    assert list(table.numbers["p (Holm)"]) == [cell.columns[""] for cell in column(table, "p (Holm)")]


def test_table_3_compares_with_original_and_counts_parameters(written):
    written.finish_table("fusion", {"original": 0.7})
    written.finish_table("fusion", {"weighted_add": 0.72}, parameters=11_000_003)
    study = written.study()
    rows = study.rows("fusion")
    table = paper_tables.fusion_table(study)
    assert [cell.text for cell in column(table, "additional parameters")] == ["0", "missing", "+3"]
    reference, missing, difference = column(table, "difference (points)")
    assert reference.text == "–"
    assert missing == Cell.missing("0 of 3 seeds done")
    assert difference == Cell.points(compare(rows[2].finished, rows[0].finished, "accuracy"))


def test_all_rows_metrics_and_test_sets_of_a_table_are_one_family(written, transferred):
    written.finish_table("fusion", FUSIONS)
    study = written.study()
    table = paper_tables.comparisons_table(study, "fusion", "name", "caption")
    assert [cell.text for cell in column(table, "metric")] == ["accuracy", "balanced accuracy", "macro F1"] * 2
    cells = [cell for group in ("phantom-lesions", "phantom-clinic") for cell in column(table, "p (Holm)", group)]
    assert len(cells) == 12
    assert [cell.columns[""] for cell in cells] == holm([cell.columns["raw"] for cell in cells])
    for each in (table, paper_tables.fusion_table(study)):
        assert any(
            "over all 12 tests of the table" in n and "2 rows × 3 metrics × 2 test sets" in n for n in each.notes
        )


def test_the_full_comparisons_agree_with_the_table(written, transferred):
    written.finish_table("fusion", FUSIONS)
    study = written.study()
    short = paper_tables.fusion_table(study)
    full = paper_tables.comparisons_table(study, "fusion", "name", "caption")
    assert column(short, "p (Holm)")[1:] == column(full, "p (Holm)", "phantom-lesions")[::3]


def test_what_is_missing_is_not_corrected_for(written):
    written.finish_table("fusion", {"original": 0.7, "weighted_add": 0.8})
    study = written.study()
    made = comparisons(study, "fusion").made
    notes = paper_tables.fusion_table(study).notes
    assert any(f"over all {len(made)} tests" in note and "as far as they could be made" in note for note in notes)


def test_the_leak_study_is_one_family(written):
    written.finish_table("leak", {"lesion": 0.7, "image": 0.75})
    table = leak_table(written.study())
    cells = column(table, "p (Holm)")
    assert [cell.columns[""] for cell in cells] == holm([cell.columns["raw"] for cell in cells])
    assert any("over all 3 tests of the table (1 row × 3 metrics × 1 test set)" in note for note in table.notes)


def test_mcnemar_stands_beside_accuracy_and_says_what_it_cannot(written):
    written.finish_table("fusion", FUSIONS)
    study = written.study()
    table = paper_tables.comparisons_table(study, "fusion", "name", "caption")
    first, *others = column(table, "McNemar, these networks", "phantom-lesions")[:3]
    rows = study.rows("fusion")
    assert first == Cell.mcnemar(compare(rows[1].finished, rows[0].finished, "accuracy").networks)
    assert [cell.text for cell in others] == ["–", "–"]
    assert NETWORKS in table.notes
    assert "no claim about a method" in NETWORKS
    assert NETWORKS not in paper_tables.fusion_table(study).notes


def test_a_study_compares_once(written, transferred, monkeypatch):
    calls = []
    monkeypatch.setattr("lib.report.study.comparisons.compare", lambda *a: calls.append(a[2]) or compare(*a))
    monkeypatch.setattr(
        "lib.report.study.comparisons.compare_unpaired", lambda *a, **k: calls.append(a[2]) or compare_unpaired(*a, **k)
    )
    written.finish_table("fusion", FUSIONS)
    written.finish_table("transfer", {"phantom-lesions": 0.9, "phantom-clinic": 0.9})
    study = written.study()
    for _ in range(2):
        paper_tables.fusion_table(study)
        paper_tables.comparisons_table(study, "fusion", "name", "caption")
        transfer_table(study)
    assert len(calls) == 2 * 3 * 2 + 2


def test_networks_at_chance_are_called_so(written, transferred):
    transferred(0.33)
    written.finish_table("fusion", {"original": 0.9, "learnable_gate": 0.34, "weighted_add": 0.1})
    table = paper_tables.fusion_table(written.study())
    (note,) = (each for each in table.notes if each.startswith(AT_CHANCE))
    assert "on phantom-lesions (1/3 = 33.3 %) learnable_gate, weighted_add; " in note
    assert "on phantom-clinic (1/3 = 33.3 %) all 3" in note
    assert UNLEARNED in note
    full = paper_tables.comparisons_table(written.study(), "fusion", "name", "caption")
    assert note in full.notes
    transferred(0.9)
    written.finish_table("leak", {"lesion": 0.9, "image": 0.9})
    assert not any(each.startswith(AT_CHANCE) for each in leak_table(written.study()).notes)


def test_bare_networks_at_chance_are_told_from_those_with_attention(written):
    written.finish_table("backbones", {"resnet18": 0.33})
    written.finish_table("attention", {"resnet18": 0.9})
    (note,) = (n for n in paper_tables.attention_table(written.study()).notes if n.startswith(AT_CHANCE))
    assert "on phantom-lesions (1/3 = 33.3 %) resnet18 without attention." in note


def test_one_seed_supports_no_claim(written):
    study = written.study()
    for row in study.rows("fusion"):
        written.finish(study.configs(row)[0], 0.9 if row.name == "weighted_add" else 0.6)
    table = paper_tables.fusion_table(written.study())
    cells = column(table, "p (Holm)")
    assert [cell.text for cell in cells] == ["–", "no claim", "no claim"]
    assert "±" not in column(table, "accuracy (%)", "phantom-lesions")[0].text
    assert ONE_SEED in table.notes
    assert PARTIAL in table.notes
    assert [cell.text for cell in column(table, "seeds")] == ["1 of 3"] * 3


def test_a_row_keeps_the_label_of_its_table(written, transferred):
    """progressive of Table 4 and phantom-lesions of Table 5 are the same runs."""
    written.finish_table("residual", {"original": 0.7, "progressive": 0.8})
    study = written.study()
    transfer_table(study)
    assert [c.text for c in column(paper_tables.residual_table(study), "residual")] == ["original", "progressive"]
    full = paper_tables.comparisons_table(study, "residual", "name", "caption")
    assert {c.text for c in column(full, "residual")} == {"progressive"}


def test_convergence_is_the_first_epoch_near_the_best(written):
    written.finish_table("residual", {"original": 0.8}, curve=(0.2, 0.58, 0.6, 0.5))
    cell = column(paper_tables.residual_table(written.study()), "convergence (epochs)")[0]
    assert cell.columns[""] == 2


def test_dropped_images_are_told(written, transferred):
    transferred(0.6, image_id=5, group=2)
    written.finish_table("transfer", {"phantom-lesions": 0.9, "phantom-clinic": 0.9})
    study = written.study()
    table = transfer_table(study)
    assert [c.text for c in column(table, "same id", "left out")] == ["–", "5", "–", "5"]
    assert [c.text for c in column(table, "same lesion", "left out")] == ["–", "2", "–", "2"]
    row = study.rows("transfer")[0]
    other = study.answers(row, "phantom-clinic").tests
    assert column(table, "drop (points)")[1] == Cell.points(
        compare_unpaired(row.finished, other, "accuracy", same_networks=True)
    )
    note = "phantom-lesions → phantom-clinic: 7 of 240 (5 by image_id, 2 by group)"
    written.finish_table("backbones", BACKBONES)
    assert any(note in each for each in paper_tables.backbones_table(written.study()).notes)


def test_a_test_set_of_which_nothing_is_left_is_missing(written, transferred):
    transferred(0.6, image_id=240)
    written.finish_table("transfer", {"phantom-lesions": 0.9})
    cell = column(transfer_table(written.study()), "accuracy (%)")[1]
    assert "all 240 test images of phantom-clinic were seen in training" in cell.note


def test_a_damaged_run_is_missing_and_stops_nothing(written):
    written.finish_table("backbones", BACKBONES)
    study = written.study()
    for run in study.rows("backbones")[0].runs:
        (run.path / "predictions.csv").unlink()
    first, second = column(paper_tables.backbones_table(study), "accuracy (%)", "phantom-lesions")
    assert "has no predictions.csv" in first.note
    assert second.kind == "number"


def test_runs_of_different_code_are_told(written):
    study = written.study()
    first, second = study.rows("backbones")
    written.finish(first.config, code="old")
    written.finish(second.config, code="new")
    assert CODE in paper_tables.backbones_table(written.study()).notes
    assert CODE not in paper_tables.fusion_table(written.study()).notes


def test_the_leak_study_is_unpaired_and_tells_the_leak(written):
    written.finish_table("leak", {"lesion": 0.7, "image": 0.9})
    study = written.study()
    honest, leaky = study.rows("leak")
    table = leak_table(study)
    assert column(table, "inflation (points)") == [
        Cell.points(compare_unpaired(leaky.finished, honest.finished, metric)) for metric in TESTED_METRICS
    ]
    assert [cell.text for cell in column(table, "leaked test images (%)")] == ["40.0"] * 3


def test_table_6_stands_beside_the_bare_backbone(written):
    rows = written.study().rows("efficiency")
    costs = [
        Cost(rows[0], efficiency(), efficiency((1.0, 1.0, 1.0), 11_000_000)),
        Cost(rows[1], None, None, "no memory"),
    ]
    table = efficiency_table(costs)
    assert [c.text for c in column(table, "total", "parameters (M)")] == ["11.000", "11.700", "–"]
    assert column(table, "ratio", "training")[1].below == "[1.05, 1.15]"
    assert [c.text for c in column(table, "images/s", "training")] == ["110", "100", "–"]
    assert column(table, "network")[2] == Cell.missing("no memory")


def test_csv_holds_plain_numbers(written, tmp_path):
    written.finish_table("backbones", BACKBONES)
    written.finish_table("attention", {"resnet18": 0.85})
    study = written.study()
    data = pd.read_csv(write_csv(paper_tables.attention_table(study), tmp_path)).set_index("backbone")
    found = compare(study.rows("attention")[0].finished, study.rows("backbones")[0].finished, "accuracy")
    line = data.loc["resnet18"]
    assert line["difference (points) difference"] == pytest.approx(100 * found.difference)
    assert line["difference (points) low"] == pytest.approx(100 * found.low)
    assert line["p (Holm) raw"] == pytest.approx(found.p)
    assert line["p (Holm)"] >= found.p
    assert line["with CBAM (%) seeds"] == 3
    assert line["with CBAM (%) n"] == 240
    assert math.isnan(data.loc["resnet34", "difference (points) low"])
    assert data.loc["resnet34", "with CBAM (%) missing"] == "0 of 3 seeds done"


def test_another_profile_brings_its_sizes_and_another_data_set_replaces_the_main_one(written):
    study = written.study(profile="smoke", dataset="digits")
    configs = [row.config for row in study.rows("transfer")]
    assert [config.dataset for config in configs] == ["digits", "phantom-clinic"]
    assert {(config.image_size, config.max_epoch, config.limit_images) for config in configs} == {(32, 2, 600)}
    assert [row.config.max_epoch for row in study.rows("epochs")] == [2, 3]
    same = written.study(profile="quick")
    assert same.rows("fusion")[0].config.max_epoch == 4
    assert same.progress == (0, 3 * 12)  # one rate of the sweep is the profile's own


def test_numbers_are_told_with_true_signs():
    assert [signed(v) for v in (1.25, -0.44, -0.01, math.inf)] == ["+1.2", "−0.4", "0.0", "+∞"]
    assert [p_text(p) for p in (0.0312, 0.0009)] == ["0.031", "< 0.001"]
    assert Cell.quantity(1.04, 1, 1.04, 1.049).below == ""
