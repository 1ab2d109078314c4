"""fit: identical, resumable, honest about its inputs, and it learns."""

import gc
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lib import files, hardware
from lib.data import load_dataset, split_rows
from lib.disk.file_claims import FileClaim
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError
from lib.paths import ROOT
from lib.training import RunStore, fit, fit_all, fitting, profile_config, trainer
from lib.training import build_model as build_file
from lib.training import classifier as module_file
from lib.training import recorder as recorder_file
from lib.training.inference import evaluation_batch, predict_rows
from lib.training.optimisers import LR_SCHEDULERS
from tests.helpers import unsealed

WAITER = """
import json, logging, sys
from lib import RunConfig, fit
logging.basicConfig(level=logging.WARNING)
fit(RunConfig.from_dict(json.loads(sys.argv[1])), sys.argv[2])
"""
SEED_COLUMNS = ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate"]


def test_a_finished_run_holds_everything(finished, tiny):
    names = {p.name for p in finished.path.iterdir() if not p.name.startswith(".")}
    assert names == {
        "config.json", "basis.json", "training_log.csv", "training_metrics.log", "train.log", "best.safetensors", "predictions.csv", "metrics.json", "provenance.json",
        "manifest.json",
    }  # fmt: skip
    assert finished.config == tiny
    assert list(finished.log.columns[:6]) == SEED_COLUMNS
    assert finished.log["epoch"].tolist() == [1, 2]
    assert {"val_balanced_accuracy", "val_macro_f1", "val_macro_auroc", "val_ece", "val_recall_mel"} <= set(
        finished.log.columns
    )
    p = finished.provenance
    assert p["seed"] == 0
    assert torch.__version__.startswith(p["versions"]["torch"])
    assert len(p["commit"]) >= 7
    assert "epoch 1, batch 1" in (finished.path / "train.log").read_text()  # DEBUG lines go to the file


def test_the_test_split_is_the_splits_and_its_metrics_have_intervals(finished, tiny):
    images = load_dataset("HAM10000", tiny.data_root)
    parts = split_rows(images)
    assert set(finished.predictions["image_id"]) == set(images.rows.loc[parts == "test", "image_id"])
    assert np.allclose(finished.probabilities.sum(axis=1), 1, atol=1e-5)
    for name, value in finished.metrics["test"].items():
        low, high = finished.metrics["intervals"][name]
        assert low <= high
        assert name == "ece" or low - 1e-6 <= value <= high + 1e-6
    assert finished.metrics["test"]["accuracy"] == pytest.approx(
        (finished.predictions["label"] == finished.predictions["prediction"]).mean()
    )


def test_a_finished_run_is_returned_at_once(finished, tiny, monkeypatch):
    monkeypatch.setattr("lib.training.training_data.load_pixels", lambda *_: pytest.fail("images were decoded"))
    assert fit(tiny, finished.path.parent).path == finished.path


def test_two_runs_of_one_config_are_identical(finished, tiny, tmp_path):
    again = fit(tiny, tmp_path / "runs")
    for name in ("training_log.csv", "predictions.csv", "metrics.json"):
        assert (again.path / name).read_text() == (finished.path / name).read_text()
    first, second = load_file(finished.path / "best.safetensors"), load_file(again.path / "best.safetensors")
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_another_seed_is_another_run_and_verbose_tells_its_batches(finished, tiny, tmp_path, capsys, monkeypatch):
    told = []
    monkeypatch.setattr(trainer, "watcher", lambda *about: lambda rows, best: told.append((*about, len(rows), best)))
    other = fit(tiny.replace(seed=1, verbose=True), tmp_path / "runs")
    about = ("training", other.path.name, False)  # who watches is told of every epoch, and of the best one in the end
    assert told == [(*about, 1, None), (*about, 2, other.metrics["best_epoch"])]
    console = capsys.readouterr().err
    assert "epoch 1, batch 1: loss" in console
    assert "epoch 2/2: train loss" in console
    assert (other.path / "training_log.csv").read_text() != (finished.path / "training_log.csv").read_text()
    assert other.predictions["image_id"].tolist() == finished.predictions["image_id"].tolist()  # so runs can be paired


def test_of_several_runs_what_another_process_trains_is_left_to_it_until_the_end(tiny, tmp_path, monkeypatch):
    asked, wanted = [], [tiny, tiny.replace(seed=1), tiny, tiny.replace(seed=2)]
    monkeypatch.setattr(
        fitting, "_fit_or_again", lambda config, store, _: asked.append(config.seed) or store.run(config)
    )
    claim = FileClaim(tmp_path / ".claims" / tiny.name / "run")  # as `fit` takes it
    assert claim.acquire()
    runs = fit_all(wanted, tmp_path)
    claim.release()
    assert asked == [1, 2, 0]
    assert [(config.seed, run.path.name) for config, run in runs.items()] == [(c.seed, c.name) for c in runs]
    assert [config.seed for config in runs] == [0, 1, 2]


def test_a_run_builds_its_network_once(tiny, tmp_path, monkeypatch):
    def counted(*arguments, **options):
        model = create(*arguments, **options)
        built.append(next(model.parameters()).device.type)
        return model

    built, create = [], build_file.create_model
    monkeypatch.setattr(build_file, "create_model", counted)
    fit(tiny, tmp_path / "runs")
    assert built == ["cpu"]
    fit(tiny, tmp_path / "runs")
    assert built == ["cpu", "meta"]  # its structure, for the digest
    both = [tiny, tiny.replace(seed=1)]
    fit_all(both, tmp_path / "runs")
    built.clear()
    fit_all(both, tmp_path / "runs")
    assert built == ["meta"]  # which every seed has


def test_nothing_of_a_training_outlives_its_run(tiny, tmp_path, monkeypatch):
    """Not even until Python's collector runs, which is switched off here: a session of many runs would grow."""

    def watched(make):
        def made(*arguments, **options):
            built = make(*arguments, **options)
            references.append(weakref.ref(built))
            return built

        return made

    references = []
    monkeypatch.setattr(fitting, "build_model", watched(fitting.build_model))
    for name in ("Recorder", "_trainer"):
        monkeypatch.setattr(trainer, name, watched(getattr(trainer, name)))
    gc.disable()
    try:
        fit(tiny, tmp_path / "runs")
        assert [reference() for reference in references] == [None] * 3
    finally:
        gc.enable()


class Killed(BaseException):
    """Stands for a kill: nothing in the code may catch it."""


@pytest.mark.parametrize("scheduler", LR_SCHEDULERS)
def test_an_interrupted_run_goes_on_to_the_same_result(scheduler, tiny, tmp_path, monkeypatch):
    impatient = (lambda o, **others: ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0.5), "epoch")
    monkeypatch.setitem(LR_SCHEDULERS, "ReduceLROnPlateau", impatient)  # so that four epochs are enough to see it act
    config = tiny.replace(
        max_epoch=4, lr_scheduler=scheduler, attention="CBAM", residual_strategy="drop_path", image_size=32
    )
    whole = fit(config, tmp_path / "whole" / "runs")
    step = module_file.Classifier.training_step

    def killed_in_epoch_3(self, batch, i):
        if self.current_epoch == 2 and i == 1:
            raise Killed
        return step(self, batch, i)

    with monkeypatch.context() as broken:
        broken.setattr(module_file.Classifier, "training_step", killed_in_epoch_3)
        with pytest.raises(Killed):
            fit(config, tmp_path / "broken" / "runs")
    assert scheduler == "none" or len(set(whole.log["learning_rate"])) > 1
    half = RunStore(tmp_path / "broken" / "runs").run(config)
    assert not half.finished
    assert len(half.log) == 2
    resumed = fit(config, tmp_path / "broken" / "runs")
    for name in ("training_log.csv", "predictions.csv", "metrics.json"):
        assert (resumed.path / name).read_text() == (whole.path / name).read_text()


def test_a_run_interrupted_or_finished_is_set_aside_when_its_data_have_changed(ham_root, tmp_path, monkeypatch, caplog):
    settings = {"dataset": "HAM10000", "data_root": str(ham_root), "attention": "none", "max_epoch": 2}
    config, store = profile_config("smoke", **settings), RunStore(tmp_path / "runs")

    def killed(self, batch, i):
        if self.current_epoch == 1:
            raise Killed
        return step(self, batch, i)

    step = module_file.Classifier.training_step
    with monkeypatch.context() as broken:
        broken.setattr(module_file.Classifier, "training_step", killed)
        with pytest.raises(Killed):
            fit(config, store)
    table = pd.read_csv(ham_root / "HAM10000_metadata.csv")
    table[table["image_id"] != "ISIC_0000003"].to_csv(ham_root / "HAM10000_metadata.csv", index=False)
    run = fit(config, store)
    assert (
        f"{run.path.name} was begun with other data: it is trained again, the old one is kept in {store.root}"
        in caplog.text
    )
    old = store.root / "superseded" / f"{run.path.name}-1"
    assert len(pd.read_csv(old / "training_log.csv")) == 1
    assert run.provenance["images"] == len(table) - 1
    table.to_csv(ham_root / "HAM10000_metadata.csv", index=False)
    assert fit(config, store).provenance["images"] == len(table)
    assert (store.root / "superseded" / f"{run.path.name}-2" / "metrics.json").exists()
    assert [r.path.name for r in store] == [run.path.name]


def test_a_finished_run_needs_no_data_to_be_read(ham_root, tmp_path, caplog):
    config = profile_config("smoke", dataset="HAM10000", data_root=str(ham_root), attention="none", max_epoch=1)
    run = fit(config, tmp_path / "runs")
    shutil.rmtree(ham_root)
    assert fit(config, tmp_path / "runs").path == run.path
    assert "its data are not here" in caplog.text


def test_a_run_killed_between_any_two_of_its_files_ends_as_if_it_had_not_been(finished, tiny, tmp_path, monkeypatch):
    replace = os.replace

    def fit_killed_after(files_written, store):
        folder, left = RunStore(store).run(tiny).path, iter(range(files_written))

        def killed_in_time(scratch, path):
            if Path(path).parent == folder and next(left, None) is None:
                raise Killed
            replace(scratch, path)

        with monkeypatch.context() as broken:
            broken.setattr(files.os, "replace", killed_in_time)
            fit(tiny, store)

    for written in itertools.count():
        store = tmp_path / str(written)
        try:
            fit_killed_after(written, store)
            break  # the last moment has been tried
        except Killed:
            resumed = fit(tiny, store)
        for name in ("training_log.csv", "predictions.csv", "metrics.json"):
            assert (resumed.path / name).read_text() == (finished.path / name).read_text(), written
    assert written >= 8


def test_a_run_is_trained_again_when_its_code_has_changed(tiny, finished, tmp_path, monkeypatch, caplog):
    store = RunStore(tmp_path / "runs")
    shutil.copytree(finished.path, store.run(tiny).path)
    assert fit(tiny, store).path == store.run(tiny).path
    assert not (store.root / "superseded").exists()
    monkeypatch.setattr("lib.training.run_digest.statements_of", lambda module: f"other = {module!r}")
    fit(tiny, store)
    assert "was begun with other model code, training code" in caplog.text


def test_a_second_process_waits_and_finds_the_run_finished(tiny, tmp_path):
    config, store = tiny.replace(attention="CBAM"), RunStore(tmp_path / "runs")
    claim = FileClaim(store.root / ".claims" / config.name / "run")
    command = [sys.executable, "-c", WAITER, json.dumps(config.to_dict()), str(store.root)]
    claim.wait(pytest.fail)
    waiter = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert f"is being trained by process {os.getpid()}" in waiter.stderr.readline()
    claim.release()
    first = fit(config, store)
    waiter.communicate(timeout=60)
    assert waiter.returncode == 0
    assert len(store.run(config).log) == first.config.max_epoch
    trainings = (first.path / "train.log").read_text().count("epoch 1/2:")
    assert trainings == 1  # whichever of the two it was that trained


def test_classes_may_be_called_by_numbers_or_na(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("0", "01", "NA"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(
                tmp_path / "data" / name / f"{i}.png"
            )
    run = fit(
        profile_config("smoke", dataset="imagefolder", data_root=str(tmp_path / "data"), attention="none", max_epoch=1),
        tmp_path / "runs",
    )
    assert run.classes == ("0", "01", "NA")
    assert set(run.labels) == {0, 1, 2}
    assert set(run.predictions["prediction"]) <= {"0", "01", "NA"}


@pytest.fixture
def trained(tiny, tmp_path, monkeypatch):
    """The store with the tiny run, killed after training and before its test."""

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as before_the_test:
        before_the_test.setattr(fitting, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny, tmp_path / "runs")
    return RunStore(tmp_path / "runs")


def test_a_run_killed_before_its_test_only_tests(finished, tiny, trained, monkeypatch):
    store = trained
    monkeypatch.setattr("pytorch_lightning.Trainer.fit", lambda *_, **__: pytest.fail("trained again"))
    again = fit(tiny, store)
    assert (again.path / "metrics.json").read_text() == (finished.path / "metrics.json").read_text()


def test_a_gpu_too_small_for_the_test_is_told(tiny, tmp_path, monkeypatch):
    def exhausted(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(fitting, "evaluate", exhausted)
    with pytest.raises(WorkbookError, match="memory does not suffice for .* batch_size=16"):
        fit(tiny, tmp_path / "runs")


def test_what_is_only_looked_at_is_bounded_by_what_is_trained_on(tiny):
    assert evaluation_batch(tiny) == 64
    assert evaluation_batch(tiny.replace(batch_size=128)) == 256
    assert evaluation_batch(tiny.replace(devices=4)) == 16


class FullDisk(io.BytesIO):
    def write(self, *_):
        raise OSError(28, "No space left on device")


def test_a_disk_that_is_full_says_so_while_a_checkpoint_is_written(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "open", lambda *_: FullDisk(), raising=False)
    with pytest.raises(WorkbookError, match=r"Cannot write .*last.ckpt: No space left"):
        fit(tiny, tmp_path / "runs")


def test_a_damaged_checkpoint_starts_over(finished, tiny, trained, caplog):
    checkpoint = trained.run(tiny).path / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    assert (fit(tiny, trained).path / "training_log.csv").read_text() == (
        finished.path / "training_log.csv"
    ).read_text()
    assert "cannot be read" in caplog.text


def test_early_stopping_waits_as_long_as_it_says(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_file.Classifier, "epoch_row", _row_that_never_improves)
    run = fit(tiny.replace(max_epoch=9, early_stopping_patience=2), tmp_path / "runs")
    assert run.log["epoch"].tolist() == [1, 2, 3]  # the first is the best, two more do not improve
    assert run.metrics["best_epoch"] == 1


def _row_that_never_improves(self):
    for metric in (self.train_loss, self.train_accuracy, self.val_loss, self.val_metrics):
        metric.reset()
    return dict.fromkeys(SEED_COLUMNS, 0.5) | {
        "epoch": self.current_epoch + 1,
        "val_balanced_accuracy": 0.5,
        "val_loss": 1.0,
    }


def test_the_best_weights_are_those_of_the_best_epoch(finished):
    log = finished.log
    assert finished.metrics["best_epoch"] == log["epoch"][log["val_balanced_accuracy"].idxmax()]
    pixels = np.random.default_rng(0).integers(0, 255, (10, 32, 32, 3), dtype=np.uint8)
    in_two_batches = predict_rows(finished.model(), finished.config.replace(batch_size=2), pixels, np.arange(10))
    assert np.allclose(
        in_two_batches, predict_rows(finished.model(), finished.config, pixels, np.arange(10)), atol=1e-6
    )
    assert in_two_batches.shape == (10, 7)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_loss_that_is_not_a_number_is_told_and_what_it_came_of_is_kept(batch, tiny, tmp_path, monkeypatch):
    factors = iter([1.0] * (batch - 1) + [float("nan")])
    monkeypatch.setattr(module_file, "build_loss", lambda *_, **__: lambda logits, labels: logits.sum() * next(factors))
    seen, after_transfer = [], module_file.Classifier.on_after_batch_transfer
    watched = lambda module, given, index: (seen.append(given[2]), after_transfer(module, given, index))[1]  # noqa: E731
    monkeypatch.setattr(module_file.Classifier, "on_after_batch_transfer", watched)
    store = RunStore(tmp_path / "runs")
    with pytest.raises(
        WorkbookError, match=rf"The loss became nan in epoch 1, batch {batch}: lower lr.*nan_loss\.json"
    ):
        fit(tiny, store)
    kept = json.loads((store.run(tiny).path / "nan_loss.json").read_text())
    images = load_dataset("HAM10000", tiny.data_root).rows["image_id"]
    assert kept["images"] == images.iloc[seen[-1].tolist()].tolist()
    assert (kept["loss"], kept["epoch"], kept["batch"]) == ("nan", 1, batch)
    assert kept["learning_rate"] == pytest.approx(tiny.lr * (0.25, 0.5)[batch - 1])  # warming up
    assert kept["gradient_norm_before"] is None if batch == 1 else kept["gradient_norm_before"] > 0


def test_a_full_disk_is_told_and_the_run_can_go_on(tiny, finished, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(WorkbookError, match="No space left"):
        fit(tiny, tmp_path / "runs")
    monkeypatch.undo()
    assert not list((tmp_path / "runs").rglob("*.ckpt"))
    assert (fit(tiny, tmp_path / "runs").path / "metrics.json").read_text() == (
        finished.path / "metrics.json"
    ).read_text()


def test_no_gpu_is_told_before_any_work(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(WorkbookValueError, match="PyTorch sees no GPU"):
        fit(tiny.replace(device="cuda", seed=7), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(WorkbookValueError, match="needs a GPU"):
        hardware.lightning_precision("16", torch.device("cpu"))


def test_unreadable_images_are_recorded_in_the_provenance(ham_root, tmp_path):
    (ham_root / "HAM10000_images_part_1" / "ISIC_0000002.jpg").write_bytes(b"broken")
    settings = {"dataset": "HAM10000", "data_root": str(ham_root), "attention": "none", "max_epoch": 1}
    with pytest.raises(WorkbookFileError, match="ISIC_0000002"):
        fit(profile_config("smoke", **settings), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()  # nothing half-written
    run = fit(profile_config("smoke", **settings, skip_unreadable=True), tmp_path / "runs")
    assert "ISIC_0000002" in run.provenance["unreadable"][0]


def test_the_trainer_learns_digits(tmp_path):
    config = profile_config(
        "quick", dataset="digits", data_root=str(tmp_path / "digits"), attention="CBAM", max_epoch=6
    )
    run = fit(config, tmp_path / "runs")
    assert run.metrics["test"]["accuracy"] >= 0.97


def test_the_store_finds_runs(finished, tmp_path):
    store = RunStore(finished.path.parent)
    assert store.find(finished.path).path == finished.path
    assert store.find(finished.path.name).path == finished.path
    assert store.find(finished.config.hash).path == finished.path
    with pytest.raises(WorkbookFileError, match=r"No run 'HAM10000-toynot'.*Did you mean 'HAM10000-toynet"):
        store.find("HAM10000-toynot")
    with pytest.raises(WorkbookFileError, match="has no metrics.json: it is not finished"):
        _ = RunStore(tmp_path).run(finished.config).metrics


def test_damaged_weights_are_told(finished, tmp_path):
    copy = tmp_path / finished.path.name
    shutil.copytree(finished.path, copy)
    os.truncate(copy / "best.safetensors", 1000)
    with pytest.raises(WorkbookFileError, match=r"best\.safetensors is damaged: it has 1,000 bytes"):
        RunStore(tmp_path).find(finished.path.name).model()
    unsealed(copy)
    with pytest.raises(WorkbookFileError, match=r"best\.safetensors cannot be loaded"):
        RunStore(tmp_path).find(finished.path.name).model()


def test_predictions_survive_a_round_trip(finished):
    table = pd.read_csv(finished.path / "predictions.csv")
    assert list(table.columns) == ["image_id", "group", "label", "prediction", *(f"prob_{c}" for c in finished.classes)]
    assert json.loads((finished.path / "config.json").read_text())["dataset"] == "HAM10000"
