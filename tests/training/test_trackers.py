"""Weights & Biases, MLflow and TensorBoard are told of a run, each in its own local store."""

import json
import re
import socket

import pandas as pd
import pytest
import torch
from scipy import stats

from lib.data import load_dataset
from lib.errors import WorkbookError
from lib.training import fit
from lib.training.build_model import count_macs
from lib.training.trackers import destinations, tracked_runs
from lib.training.trackers.tracked_runs import facts_of

wandb = pytest.importorskip("wandb")
mlflow = pytest.importorskip("mlflow")
events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture(scope="module")
def asked(tiny):
    """A config that asks for all three."""
    return tiny.replace(
        max_epoch=2, seed=3, wandb_project="p", wandb_run="base", mlflow_experiment="e", tensorboard=True
    )


@pytest.fixture(scope="module")
def tracked(asked, tmp_path_factory):
    """A run that all three were told of while it was trained."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        patch.setenv("WANDB_SILENT", "true")
        yield fit(asked, tmp_path_factory.mktemp("tracked") / "runs")


def offline(run):
    return sorted(run.path.glob("wandb/offline-run-*/*.wandb"))


def best_of(run):
    return run.log.set_index("epoch").loc[run.metrics["best_epoch"]]


def test_facts_are_the_runs_own(tracked):
    facts, test = facts_of(tracked), tracked.metrics["test"]
    model = tracked.model()
    assert facts["total_parameters"] == sum(p.numel() for p in model.parameters())
    parts = {f"parameters_{part}": number for part, number in model.count_parameters().items() if part != "total"}
    assert parts.items() <= facts.items()
    assert facts["test_accuracy"] == test["accuracy"]
    assert [facts["test_recall_mel_low"], facts["test_recall_mel_high"]] == tracked.metrics["intervals"]["recall_mel"]
    assert facts["train_seconds"] == tracked.provenance["train_seconds"]
    assert facts["macs"] == count_macs(tracked.config, 7)


def test_mlflow_keeps_settings_curves_and_results(tracked, asked):
    client = mlflow.MlflowClient(f"sqlite:///{tracked.path.parent.parent / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    assert (run.info.run_name, run.info.status) == (asked.wandb_name, "FINISHED")
    assert (run.data.params["sampler"], run.data.params["focal_gamma"]) == ("sqrt", "2.0")
    curve = client.get_metric_history(run.info.run_id, "val_accuracy")
    assert [point.value for point in sorted(curve, key=lambda p: p.step)] == tracked.log["val_accuracy"].tolist()
    assert run.data.metrics["test_accuracy"] == tracked.metrics["test"]["accuracy"]
    assert run.data.metrics["best_val_balanced_accuracy"] == best_of(tracked)["val_balanced_accuracy"]


def test_tensorboard_reads_curves_and_results(tracked):
    read = events.EventAccumulator(str(tracked.path / "tensorboard")).Reload()
    assert [event.step for event in read.Scalars("train_loss")] == [1, 2]
    assert read.Scalars("val_accuracy")[1].value == pytest.approx(tracked.log["val_accuracy"].iloc[1])
    assert read.Scalars("test_accuracy")[0].value == pytest.approx(tracked.metrics["test"]["accuracy"])


def test_weights_and_biases_gets_the_facts_and_nobody_is_told_twice(tracked, asked, monkeypatch, caplog):
    for name in ("WANDB_API_KEY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("lib.training.trainer.train", lambda *_: pytest.fail("trained again"))
    (first,) = offline(tracked)
    assert all(key in first.read_bytes() for key in (b"total_parameters", b"test_recall_mel_low", b"macs"))
    fit(asked, tracked.path.parent)
    assert len(offline(tracked)) == 1
    fit(asked.replace(wandb_run="another name"), tracked.path.parent)  # of the very same run: from the store
    assert len(offline(tracked)) == 2
    assert len(json.loads((tracked.path / "tracked.json").read_text())) == 5
    caplog.clear()
    fit(asked.replace(wandb_project=None, wandb_run="nowhere"), tracked.path.parent)
    assert "no project is named" in caplog.text
    monkeypatch.setenv("WANDB_PROJECT", "of the environment")
    fit(asked.replace(wandb_project=None), tracked.path.parent)
    assert len(offline(tracked)) == 3


def test_a_tracker_that_fails_ends_no_training(tracked, asked, tmp_path, monkeypatch, caplog):
    def fail(self, row):
        raise OSError("the server is gone")

    monkeypatch.setattr(destinations.TensorBoard, "epoch", fail)
    run = fit(asked.replace(wandb_project=None, mlflow_experiment=None, wandb_run=None, seed=5), tmp_path / "runs")
    assert run.finished
    assert "tensorboard cannot be told (the server is gone)" in caplog.text


def test_the_key_is_written_nowhere_and_a_silent_server_stops_nothing(tiny, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setattr("lib.training.trackers.destinations.ANSWER_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        wandb.teardown()  # it reads its environment once
        run = fit(tiny.replace(wandb_project="test", max_epoch=1, seed=6), tmp_path / "runs")
    assert len(offline(run)) == 1
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"Weights & Biases does not answer (timed out): this run is recorded offline in {run.path / 'wandb'}, and `wandb "
        "sync` sends it later"
    ]
    monkeypatch.setattr("lib.training.trackers.destinations.find_spec", lambda _: None)
    with pytest.raises(WorkbookError, match=r"wandb is not installed: pip install -e '\.\[wandb\]'"):
        fit(tiny.replace(wandb_project="test", max_epoch=1, seed=4), tmp_path / "runs")
    text = b"".join(p.read_bytes() for p in (tmp_path / "runs").rglob("*") if p.is_file())
    assert b"0123456789012345" not in text


def test_the_seeds_analysis_reads_the_store(tracked, finished):
    """Its loop over `wandb.Api().runs`, and its tables, on `tracked_runs`."""
    results = []
    for run in [*tracked_runs(tracked.path.parent), *tracked_runs(finished.path.parent)]:
        if run.state == "finished":
            results.append({
                "name": run.name,
                "backbone": run.config.get("backbone"),
                "attention": run.config.get("attention"),
                "val_accuracy": run.summary.get("val_accuracy"),
                "train_time": run.summary.get("_runtime"),
                "parameters": run.summary.get("total_parameters"),
            })  # fmt: skip
    df = pd.DataFrame(results)
    assert df.notna().all().all()
    row = df[df["name"] == tracked.config.wandb_name].iloc[0]
    assert row["val_accuracy"] == best_of(tracked)["val_accuracy"]
    assert f"{row['parameters'] / 1e6:.1f}M"
    assert len(stats.ttest_ind(df["val_accuracy"], df["val_accuracy"])) == 2


def test_the_log_tells_what_is_trained(finished):
    log = (finished.path / "train.log").read_text()
    parts = finished.model().count_parameters()
    assert f"model: toynet with none, {parts['total']:,} parameters (" in log
    assert "data: HAM10000, 7 classes, images by part: train " in log
    told = {when: re.search(rf"classes {when} sampling.*: (akiec .+)", log)[1] for when in ("before", "after")}
    counts = {when: [int(number) for number in re.findall(r"\w+ (\d+)", line)] for when, line in told.items()}
    assert len(counts["before"]) == 7
    trained = len(load_dataset("HAM10000", finished.config.data_root).rows) - len(finished.predictions)
    assert sum(counts["before"]) < trained  # without the validation part
    assert 0 <= sum(counts["before"]) - sum(counts["after"]) < finished.config.batch_size  # a last batch is dropped
    assert "loss: label_smoothing, smoothing 0.1" in log
    best = finished.metrics["best_epoch"]
    assert f"checkpoint: best.safetensors is of epoch {best}, val_balanced_accuracy" in log
    assert "INFO lib.training.recorder: Learning rate changed from" in log


def test_the_seeds_greps_work_in_a_runs_folder(finished):
    lines = (finished.path / "training_metrics.log").read_text().splitlines()
    head, *epochs = (line.split(",") for line in lines if line.startswith("EPOCH"))
    assert head[1:] == list(finished.log.columns)
    assert [float(value) for value in epochs[1][1:]] == pytest.approx(finished.log.iloc[1].tolist(), nan_ok=True)
    head, *batches = (line.split(",") for line in lines if line.startswith("BATCH"))
    assert head[1:] == ["epoch", "batch", "loss", "accuracy", "learning_rate"]
    accuracies = [float(batch[4]) for batch in batches if batch[1] == "2"]
    assert torch.tensor(accuracies).mean().item() == pytest.approx(finished.log["train_accuracy"].iloc[1], abs=1e-5)
