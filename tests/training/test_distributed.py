"""One run in several processes: the numbers of one process, one voice, and one error."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lib import hardware
from lib.errors import WorkbookValueError
from lib.paths import ROOT
from lib.training import RunConfig, RunStore, fit, profile_config
from lib.training.distributed import average_statistics, is_member

RANKS = ("RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No traces of torchrun or srun."""
    for name in (*RANKS, "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)


def train(*words):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "lib.train", *map(str, words)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def flags(config):
    return [f"--{name}={value}" for name, value in config.to_dict().items() if value != getattr(RunConfig(), name)]


def test_two_processes_give_the_numbers_of_one(shared_ham, tmp_path):
    """Without batch statistics, augmentation and dropout, the batch is all that counts."""
    config = profile_config(
        "smoke", dataset="HAM10000", data_root=str(shared_ham), backbone="test_vit", attention="SA", depth=2, patch_size=8,
        drop_path=0.0, augmentation="none", precision="32", optimizer="SGD", batch_size=12, max_epoch=2, device="cpu",
    )  # fmt: skip
    one, store = fit(config, tmp_path / "one" / "runs"), RunStore(tmp_path / "two" / "runs")
    done = train(*flags(config), "--devices", 2, "--output-dir", tmp_path / "two")
    (two,) = store
    assert two.config == config.replace(devices=2)
    assert done.stdout.count("test balanced_accuracy") == done.stderr.count("epoch 2/2") == 1
    assert (two.path / "train.log").read_text().count("finished after") == 1
    assert len(list((store.root / ".claims").rglob("*claim-*"))) == 1
    assert two.provenance["processes"] == 2
    assert list(two.log.columns) == list(one.log.columns)
    assert np.allclose(two.log, one.log, rtol=1e-3, atol=2e-5)
    assert two.predictions["image_id"].tolist() == one.predictions["image_id"].tolist()
    assert np.allclose(two.probabilities, one.probabilities, atol=1e-4)
    weights = [load_file(run.path / "best.safetensors") for run in (one, two)]
    assert all(np.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[0])
    assert fit(two.config, store).path == two.path  # found, by one process


SCRIPT = """
import sys, time
from lib.errors import WorkbookError, run_command
from lib.launch import launch

def one_fails(how):
    import os
    if os.environ["RANK"] == "0":
        time.sleep(600)
    if how == "told":
        raise WorkbookError("the second one fails")
    os.kill(os.getpid(), 9)

if __name__ == "__main__":
    run_command(lambda: launch(one_fails, sys.argv[1], devices=2))
"""


@pytest.mark.parametrize(
    ("how", "message"), [("told", "the second one fails"), ("killed", "One of 2 processes was killed: if memory")]
)
def test_a_process_that_fails_ends_the_others_with_one_line(how, message, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", how],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"devices": 0}, "devices=0 must be at least 1"),
        ({"num_nodes": 0}, "num_nodes=0 must be at least 1"),
        ({"devices": 3}, r"batch_size=32 counts the images of all 3 devices .*take a multiple of 3, such as 33"),
        ({"devices": 4, "num_nodes": 8}, r"get equal shares of two or more: take a multiple of 32, such as 64"),
        ({"devices": 2, "task": "reid", "attention": "SA", "backbone": "test_vit"}, "trains on one device, not on 2"),
    ],
)
def test_what_cannot_be_shared_is_told(change, message):
    with pytest.raises(WorkbookValueError, match=message):
        RunConfig(**change)


def test_devices_that_are_not_there_are_told_before_any_work(tiny, tmp_path, monkeypatch):
    with pytest.raises(
        WorkbookValueError, match=r"devices=1024, but this machine has \d+ processor cores; lower devices"
    ):
        fit(tiny.replace(devices=1024, batch_size=2048, device="cpu"), tmp_path / "runs")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(WorkbookValueError, match="devices=2, but PyTorch sees 1 GPUs"):
        hardware.check_devices(tiny.device, devices=2)
    assert not (tmp_path / "runs").exists()


def test_running_statistics_are_those_of_all_processes(monkeypatch):
    """Both processes have normalised batches of their own; the other's statistics are twice ours."""
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.Linear(2, 2))
    model(torch.randn(8, 3, 4, 2))
    mean, variance = model[0].running_mean.clone(), model[0].running_var.clone()
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda each: each.add_(2 * each))
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    average_statistics(model)
    assert torch.allclose(model[0].running_mean, 1.5 * mean)
    assert torch.allclose(model[0].running_var, 1.5 * variance)


def test_a_run_on_several_devices_is_another_run():
    config = RunConfig()
    assert config.hash != config.replace(devices=2).hash != config.replace(devices=4).hash
    assert config.hash == RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))).hash


def test_who_was_started_by_whom(monkeypatch):
    two, nodes = RunConfig(devices=2), RunConfig(devices=2, num_nodes=2)
    assert not is_member(RunConfig())
    assert not is_member(two)
    with pytest.raises(
        WorkbookValueError, match=r"num_nodes=2 starts on every node: torchrun --nnodes 2 --nproc-per-node 2"
    ):
        is_member(nodes)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert is_member(nodes)
    assert not is_member(RunConfig())
    with pytest.raises(WorkbookValueError, match=r"4 processes were started, but devices=2 × num_nodes=1 are 2"):
        is_member(two)


def test_srun_tells_its_processes_who_they_are(monkeypatch):
    numbers = {"PROCID": 3, "LOCALID": 1, "NODEID": 1, "NTASKS": 4, "NTASKS_PER_NODE": 2, "STEP_NUM_TASKS": 4}
    for name, value in {**numbers, "NODELIST": "node[7-8]", "JOB_ID": 1234}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    for name in RANKS:  # so that they are removed again
        monkeypatch.setenv(name, "0")
        monkeypatch.delenv(name)
    assert is_member(RunConfig(devices=2, num_nodes=2))
    assert [os.environ[name] for name in RANKS] == ["3", "1", "1", "4", "node7", "16234"]
