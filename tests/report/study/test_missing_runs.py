"""What is missing of a study is trained, once, for as many seeds as are asked for; what fails stays missing."""

import pytest

from lib.errors import WorkbookError
from lib.report.study import missing_runs
from lib.report.study.missing_runs import train_missing
from lib.report.study.study import study_of
from lib.training import RunStore
from lib.workbook.protocol import read_protocol


@pytest.fixture
def trained(written, monkeypatch):
    """The configs that `fit` is asked for, in order; it writes their runs, and fails for bare networks."""
    configs = []

    def fit(config, store):
        configs.append(config)
        if config.attention == "none":
            raise WorkbookError("no room.")
        written.finish(config)

    monkeypatch.setattr(missing_runs, "fit", fit)
    return configs


def test_the_missing_runs_of_some_tables_are_trained_for_the_first_seeds(written, trained):
    written.finish_table("fusion", {"original": 0.8})
    study = train_missing(written.study(), 2, ["fusion", "residual"])
    assert [(config.fusion_strategy, config.residual_strategy, config.seed) for config in trained] == [
        ("learnable_gate", "original", 0),
        ("learnable_gate", "original", 1),
        ("weighted_add", "original", 0),
        ("weighted_add", "original", 1),
        ("learnable_gate", "progressive", 0),
        ("learnable_gate", "progressive", 1),
    ]
    assert [len(row.finished) for row in study.rows("fusion")] == [3, 2, 2]


def test_a_run_that_cannot_be_trained_stays_missing_and_the_others_are_trained(written, trained, caplog):
    study = train_missing(written.study(profile="smoke"), 1)
    assert {config.max_epoch for config in trained} >= {2, 3}  # the study's changes count, and its sweeps
    assert "stays missing: no room." in caplog.text
    assert [len(row.finished) for row in study.rows("backbones")] == [0, 0]
    assert [len(row.finished) for row in study.rows("attention")] == [1, 1]


def test_no_seeds_train_nothing(written, trained):
    train_missing(written.study(), 0)
    assert trained == []


def test_every_network_of_the_miniature_starts_from_the_weights_of_its_backbone(tmp_path):
    study = study_of(read_protocol("quick"), RunStore(tmp_path))
    assert {row.config.backbone for row in study.every_row()} == {"toynet", "resnet18_small"}
    assert all(row.config.weights == row.config.backbone for row in study.every_row())
