"""A run that is meant for use: as many epochs as validation chose, on the images that chose them too."""

import numpy as np
import pandas as pd
import pytest
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lib.errors import WorkbookValueError
from lib.predict import predict
from lib.training import Run, RunConfig, RunStore, fit, prepare, profile_config
from lib.training.optimisers import LR_SCHEDULERS
from tests.helpers import unsealed


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return RunStore(tmp_path_factory.mktemp("refit") / "runs")


def test_it_is_trained_on_the_validation_part_too_and_tested_on_the_same_images(tiny, store):
    refitted = fit(tiny, store, refit=True)
    choosing = fit(tiny, store)
    assert refitted.config == tiny.replace(refit="val")
    assert refitted.path != choosing.path
    assert len(refitted.log) == refitted.metrics["best_epoch"] == choosing.metrics["best_epoch"]
    assert not any(column.startswith("val_") for column in refitted.log)
    parts, before = prepare(refitted.config, store).parts, prepare(tiny, store).parts
    assert (parts == "val").sum() == 0
    assert (parts == "train").sum() == before.isin(["train", "val"]).sum()
    assert refitted.predictions["image_id"].tolist() == choosing.predictions["image_id"].tolist()
    assert not np.array_equal(refitted.probabilities, choosing.probabilities)


def test_it_is_there_already_when_it_is_wanted_again_until_another_number_of_epochs_is_chosen(tiny, store):
    refitted = fit(tiny, store, refit=True)
    finished = (refitted.path / "metrics.json").stat().st_mtime_ns
    assert (fit(tiny.replace(refit="val"), store).path / "metrics.json").stat().st_mtime_ns == finished
    choosing = Run(unsealed(store.run(tiny).path))
    metrics = (choosing.path / "metrics.json").read_text()
    other = 3 - choosing.metrics["best_epoch"]  # of two
    changed = metrics.replace(f'"best_epoch": {choosing.metrics["best_epoch"]}', f'"best_epoch": {other}')
    (choosing.path / "metrics.json").write_text(changed)
    assert len(fit(tiny, store, refit=True).log) == other
    (choosing.path / "metrics.json").write_text(metrics)


def test_on_everything_there_is_no_test_and_it_predicts(tiny, store, shared_ham, tmp_path):
    run = fit(tiny.replace(refit="all"), store)
    assert set(prepare(run.config, store).parts) == {"train"}
    assert run.metrics == {"best_epoch": len(run.log), "test": {}, "intervals": {}}
    images = shared_ham / "HAM10000_images_part_1"
    assert predict(run, images, tmp_path / "answers.csv") == len(pd.read_csv(tmp_path / "answers.csv")) > 0


def test_it_follows_the_rates_that_a_plateau_of_validation_gave(tiny, tmp_path, monkeypatch):
    impatient = (lambda o, **others: ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0.9), "epoch")
    monkeypatch.setitem(LR_SCHEDULERS, "ReduceLROnPlateau", impatient)
    config = tiny.replace(max_epoch=4, lr_scheduler="ReduceLROnPlateau")
    refitted, choosing = fit(config, tmp_path / "runs", refit=True), fit(config, tmp_path / "runs")
    assert len(set(choosing.log["learning_rate"])) > 1
    rates = choosing.log["learning_rate"][: choosing.metrics["best_epoch"]]
    assert refitted.log["learning_rate"].tolist() == rates.tolist()


def test_the_name_of_a_run_that_is_not_refitted_is_what_it_was():
    config = RunConfig()
    assert config.hash == config.replace(refit="none").hash != config.replace(refit="val").hash


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"refit": "everything"}, "refit"),
        ({"refit": "val", "devices": 2}, "one device, not on 2: leave out devices"),
        ({"refit": "val", "dataset": "shards", "sampler": "none"}, "refit='val' needs a list of all images"),
    ],
)
def test_what_cannot_be_refitted_is_refused(settings, message):
    with pytest.raises(WorkbookValueError, match=message):
        RunConfig.from_dict(settings)


def test_identities_are_not_refitted_on_those_that_are_searched_for():
    with pytest.raises(WorkbookValueError, match="Take refit='val'"):
        profile_config("reid-smoke", refit="all")
