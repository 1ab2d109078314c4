"""The same plan gives the same results on each of the three. Slurm is a real one of a single node where Debian's
slurm-wlm is installed, else submitit's local executor, which takes the same road up to sbatch."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from ray.cluster_utils import Cluster

from lib.errors import WorkbookError, WorkbookValueError
from lib.workbook import backends, sweep_commandline
from lib.workbook.backends import LocalPool, RayCluster, SlurmCluster, _watched, cpus_each, visible_gpus
from lib.workbook.plan import Job
from lib.workbook.task import run_task
from tests.workbook.slurm_cluster import slurm_cluster

PARAMETERS = "x: int = 3\nseed: int = 0"


class SubmititLocally(SlurmCluster):
    cluster = "local"

    def _configure(self, options):
        assert options == {}


@contextmanager
def slurm(folder: Path) -> Iterator[SlurmCluster]:
    """The real one where it can be started, else submitit's stand-in."""
    with slurm_cluster(folder) as is_up, (SlurmCluster if is_up else SubmititLocally)(folder / "jobs", 2) as backend:
        yield backend


@pytest.fixture
def tasks(notebook, tmp_path):
    path = notebook(tmp_path / "04_a.ipynb", "print('x is', x)", "assert x < 2", parameters=PARAMETERS)
    return [run_task(Job(path, {"x": x, "seed": 0}), tmp_path / "report") for x in (1, 2)]


def printed(task) -> str:
    cells = nbformat.read(task.executed, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


@pytest.mark.parametrize(
    "make", [lambda _: LocalPool(2), lambda _: RayCluster(2), slurm], ids=["local", "ray", "slurm"]
)
def test_a_back_end_performs_tasks(make, tasks, tmp_path):
    with make(tmp_path) as backend:
        assert backend.slots == 2
        good, bad = [backend.submit(task, patience=0, timeout=600) for task in tasks]
        assert (good.result(timeout=1200).status, bad.result(timeout=1200).status) == ("ok", "failed")
    assert [printed(task) for task in tasks] == ["x is 1\n", "x is 2\n"]
    assert [task.log.read_text() for task in tasks] == ["x is 1\n", "x is 2\n"]
    assert json.loads(tasks[1].executed.with_suffix(".json").read_text())["error"].startswith("AssertionError")
    assert all(task.page.exists() for task in tasks)


def test_a_run_fits_onto_a_node_of_a_running_ray_cluster(tasks):
    """A large head without a GPU, and a small node with one: all of the cluster's CPUs fit nowhere."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 6, "num_gpus": 0})
    try:
        cluster.add_node(num_cpus=1, num_gpus=1)
        with RayCluster(address=cluster.address) as backend:
            assert (backend.slots, backend.queues) == (1, True)
            ended = [backend.submit(task, patience=0, timeout=600) for task in tasks]
            assert [each.result(timeout=1200).status for each in ended] == ["ok", "failed"]
    finally:
        cluster.shutdown()


class SlowRay:
    """Ray on a machine that is too busy for it to come up in time, the first `slow` times."""

    def __init__(self, slow: int) -> None:
        self.slow, self.stopped = slow, 0

    def init(self, **how: object) -> None:
        if self.stopped < self.slow:
            raise Exception("The current node timed out during startup.")

    def shutdown(self) -> None:
        self.stopped += 1

    def nodes(self) -> list[dict]:
        return [{"Alive": True, "Resources": {"CPU": 2.0}}]

    def remote(self, **how: object):
        return lambda function: function


def test_ray_is_started_again_where_it_was_too_slow(monkeypatch):
    for slow in (0, 2):
        monkeypatch.setattr(backends, "_module", lambda name, extra: SlowRay(slow))  # noqa: B023, called at once
        with RayCluster(2) as backend:
            assert (backend.slots, backend._ray.stopped) == (2, slow)
    monkeypatch.setattr(backends, "_module", lambda name, extra: SlowRay(9))
    with pytest.raises(WorkbookError, match=r"Ray does not start here \(The current node timed out.*--backend local"):
        RayCluster(2).__enter__()


@pytest.mark.parametrize(
    ("nodes", "slots", "cpus"),
    [
        ([(32, 0), (8, 1), (8, 1)], 2, 8),
        ([(32, 0), (8, 1), (8, 1)], 1, 8),
        ([(8, 0), (8, 0)], 1, 8),
        ([(3, 0), (3, 0)], 2, 3),
        ([(3, 0), (3, 0)], 3, 1),
        ([(2, 0)], 2, 1),
        ([(2, 0)], 5, 1),
        ([(0, 0), (4, 0)], 2, 2),
        ([(4, 4)], 4, 1),
    ],
)
def test_the_cpus_that_each_run_on_a_ray_cluster_gets(nodes, slots, cpus):
    assert cpus_each([{"CPU": float(c), "GPU": float(g)} for c, g in nodes], slots) == cpus


def test_a_ray_cluster_without_room_for_a_run_is_told():
    with pytest.raises(WorkbookError, match="No node of the Ray cluster has a CPU and a GPU"):
        cpus_each([{"CPU": 8.0}, {"GPU": 2.0}], 2)


def test_a_look_that_fails_is_told_instead_of_waited_for():
    looks = iter([False, OSError("the shared folder is gone")])

    def done():
        look = next(looks)
        if isinstance(look, Exception):
            raise look
        return look

    assert isinstance(_watched(done, None, 0.01).exception(timeout=120), OSError)


def places(monkeypatch, gpus, workers=None):
    """The environments of as many tasks at a time as the pool takes."""
    monkeypatch.setattr(backends, "visible_gpus", lambda: gpus)
    pool = LocalPool(workers)
    together = threading.Barrier(pool.slots)

    def perform(task, environment, cancelled):
        together.wait(10)
        return environment

    monkeypatch.setattr(backends, "perform", perform)
    with pool:
        futures = [pool.submit(None) for _ in range(2 * pool.slots)]
        return [future.result(timeout=120) for future in futures]


def test_each_run_has_a_gpu_of_its_own(monkeypatch):
    found = [place["CUDA_VISIBLE_DEVICES"] for place in places(monkeypatch, ["0", "3"])]
    assert sorted(found[:2]) == sorted(found[2:]) == ["0", "3"]


def test_more_workers_than_gpus_share_them(monkeypatch):
    assert sorted(p["CUDA_VISIBLE_DEVICES"] for p in places(monkeypatch, ["0", "1"], 4)[:4]) == ["0", "0", "1", "1"]


def test_runs_on_a_cpu_share_its_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(backends.os, "cpu_count", lambda: 8)
    assert places(monkeypatch, [], 2)[0] == {"OMP_NUM_THREADS": "4"}


def test_workers_fit_into_cores_and_memory(monkeypatch):
    monkeypatch.setattr(backends, "visible_gpus", list)
    monkeypatch.setattr(backends.os, "cpu_count", lambda: 64)
    memory = type("Memory", (), {"total": 7 * 2**30})
    monkeypatch.setattr(backends.psutil, "virtual_memory", lambda: memory)
    assert LocalPool().slots == 2


def test_gpus_are_those_that_the_user_chose(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-8")
    assert visible_gpus() == ["2", "GPU-8"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    asked = subprocess.CompletedProcess([], 0, stdout="0\n1\n")
    monkeypatch.setattr(backends.subprocess, "run", lambda *_, **__: asked)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setattr(backends.subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))
    assert visible_gpus() == []


def test_an_exception_cancels_what_runs(notebook, tmp_path):
    path = notebook(
        tmp_path / "04_a.ipynb", "import time\nprint('begun', flush=True)\ntime.sleep(600)", parameters=PARAMETERS
    )
    task = run_task(Job(path, {"x": 1, "seed": 0}), tmp_path)
    begun = threading.Event()
    with pytest.raises(KeyboardInterrupt), LocalPool(1) as pool:  # noqa: PT012
        future = pool.submit(task)
        while not (task.log.exists() and "begun" in task.log.read_text()):
            begun.wait(0.05)
        raise KeyboardInterrupt
    assert future.result().status == "interrupted"


@pytest.mark.parametrize(
    ("module", "extra", "make"), [("ray", "ray", RayCluster), ("submitit", "slurm", lambda: SlurmCluster("f"))]
)
def test_a_missing_library_names_its_extra(monkeypatch, module, extra, make):
    monkeypatch.setattr(backends, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(WorkbookValueError, match=rf"needs {module}: pip install -e '.\[{extra}\]'"):
        make()


def test_jobs_are_unpickled_from_a_folder_of_the_users_own(tmp_path, monkeypatch):
    """Never from the output folder, which others share."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    folder.chmod(0o777)
    SubmititLocally(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    asked = []
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sweep_commandline, "SlurmCluster", lambda folder, *_: asked.append(folder) or LocalPool(1))
    grid = ["02", "--grid", "seed=0", "--backend", "slurm", "--dry-run", "--output-dir", str(tmp_path / "shared")]
    assert sweep_commandline.main(grid) == 0
    assert [each.relative_to(tmp_path / "home").parts[0] for each in asked] == [".cache"]


def test_a_cluster_that_is_not_there_is_told(tmp_path, monkeypatch):
    with (
        pytest.raises(WorkbookError, match=r"No Ray cluster at '127.0.0.1:1'.*ray start --head"),
        RayCluster(address="127.0.0.1:1"),
    ):
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkbookError, match="Slurm cannot be used here"):
        SlurmCluster(tmp_path / "jobs")
