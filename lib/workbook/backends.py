"""Where the runs of a study are performed: this machine, a Slurm cluster, a Ray cluster. The same plan, the same results.

A back end is a context manager with `slots`, the number of runs it takes at a time, `queues`, whether these may have to
wait for others there, and `submit(task, **how)`, which answers at once with a `Future` of `perform(task, **how)`. Leaving
it on an exception cancels what still runs.
"""

import logging
import math
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from types import ModuleType
from typing import Any, Protocol, Self

import psutil

from lib.errors import WorkbookError, WorkbookValueError
from lib.files import told
from lib.paths import ROOT
from lib.workbook.task import Task, perform

RUN_GIB = 3.0  # of memory that one run on a CPU may want; fewer run at a time where there is less
SLURM_POLL_S = 1.0
RETRIES = 3  # of a run whose node or process was lost: it goes on from what it has saved; failed ones are not repeated
RAY_STARTS = 3
RAY_QUIET = {"log_to_driver": False, "logging_level": "error"}
AT_A_TIME = 500  # jobs handed to Slurm; it has a queue of its own, but not an endless one
RUN_TIME = "24:00:00"  # of a job, unless --slurm time=… says otherwise


class Backend(AbstractContextManager, Protocol):
    """What the three have in common."""

    slots: int
    queues: bool

    def submit(self, task: Task, **how: Any) -> Future:
        """Begin or queue a run, at once: what comes of it is the record that `perform(task, **how)` gives, or what it
        raises."""


class LocalPool:
    """Runs on this machine, one a GPU; without GPUs one a core, as memory allows, each with its share of the threads."""

    queues = False

    def __init__(self, workers: int | None = None, most: int | None = None) -> None:
        """`workers` at a time, but never more than `most`, who share the machine between them."""
        gpus = visible_gpus()
        slots = workers or len(gpus) or _cpu_workers()
        self.slots = min(slots, most or slots)
        self._places: SimpleQueue[dict[str, str]] = SimpleQueue()
        threads = str(max(1, (os.cpu_count() or 1) // self.slots))  # more threads than cores is slower by far
        for i in range(self.slots):
            gpu = {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {}
            self._places.put({"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads), **gpu})
        self._cancelled = Event()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self.slots)
        return self

    def __exit__(self, kind: type | None, *rest: object) -> None:
        if kind is not None:
            self._cancelled.set()
        self._pool.shutdown(cancel_futures=True)

    def submit(self, task: Task, **how: Any) -> Future:
        """Queue a run for one of the `slots` places, each with its GPU or its share of the threads."""
        return self._pool.submit(self._perform, task, how)

    def _perform(self, task: Task, how: dict[str, Any]) -> Any:
        place = self._places.get()
        try:
            return perform(task, environment=place, cancelled=self._cancelled, **how)
        finally:
            self._places.put(place)


class SlurmCluster:
    """Jobs of a Slurm cluster, through submitit; `options` are sbatch's, as in {'partition': 'gpu', 'time': '4:00:00'}.

    Slurm gives each job its GPU (`gres`). Every node must see the repository, its environment, the output folder, and
    `folder`: submitit leaves jobs and answers there as pickles, so that it is made the user's own, where nobody else writes.
    """

    cluster = "slurm"  # what submitit calls it
    queues = True

    def __init__(self, folder: Path, workers: int | None = None, options: Mapping[str, str] | None = None) -> None:
        submitit = _module("submitit", "slurm")
        logging.getLogger("submitit").setLevel(logging.ERROR)  # it tells of every look at a cluster without accounting
        self.slots = workers or AT_A_TIME
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=self.cluster)
        except RuntimeError as error:
            raise WorkbookError(
                f"Slurm cannot be used here ({error}): run this where sbatch is, or use --backend local."
            ) from error
        with told(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)  # which none but its owner may do
        self._configure(dict(options or {}))
        self._jobs: list[Any] = []

    def _configure(self, options: dict[str, str]) -> None:
        setup = [f"export PYTHONPATH={ROOT}${{PYTHONPATH:+:$PYTHONPATH}}"]
        chosen = {"time": RUN_TIME, "job_name": "workbook", **options}
        self._executor.update_parameters(slurm_setup=setup, slurm_additional_parameters=chosen)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, *rest: object) -> None:
        if kind is not None:
            for job in self._jobs:
                job.cancel()

    def submit(self, task: Task, **how: Any) -> Future:
        """Hand a run to sbatch as a job of its own.

        Raises:
            WorkbookError: Slurm refuses the job.
        """
        try:
            job = self._executor.submit(perform, task, **how)
        except Exception as error:  # of submitit's own types, which cannot be named without importing it
            raise WorkbookError(
                f"Slurm refuses the job: {error}. Options of sbatch are given with --slurm OPTION=VALUE."
            ) from error
        self._jobs.append(job)
        return _watched(job.done, job.result, SLURM_POLL_S)


class RayCluster:
    """Tasks of a Ray cluster: the running one at `address`, or one that is started here; one GPU a run if it has any."""

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self._ray = _module("ray", "ray")
        self._workers, self._address = workers, address
        self.queues = address is not None  # others may use it, too

    def __enter__(self) -> Self:
        ray, on_sigterm = self._ray, signal.getsignal(signal.SIGTERM)
        if self._address:
            self._join()
        else:
            self._begin()
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own would end us without a word
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus, gpus = (int(sum(node.get(kind, 0) for node in nodes)) for kind in ("CPU", "GPU"))
        self.slots = self._workers or gpus or cpus
        self._perform = ray.remote(num_cpus=cpus_each(nodes, self.slots), num_gpus=min(gpus, 1), max_retries=RETRIES)(
            perform
        )
        self._references: list[Any] = []
        return self

    def _join(self) -> None:
        try:
            _reach(self._address)
            environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}  # which costs seconds
            self._ray.init(self._address, runtime_env=environment, **RAY_QUIET)
        except (OSError, ValueError, RuntimeError) as error:
            raise WorkbookError(
                f"No Ray cluster at {self._address!r} ({error}): start one with `ray start --head`, or leave --address out."
            ) from error

    def _begin(self) -> None:
        """Start one. Ray gives its own processes 30 s to come up, which a busy machine may not have the first time."""
        for start in range(RAY_STARTS):
            try:
                self._ray.init(num_cpus=self._workers or _cpu_workers(), include_dashboard=False, **RAY_QUIET)
                return
            except Exception as error:  # it has no type of its own for this
                self._ray.shutdown()
                if start == RAY_STARTS - 1:
                    raise WorkbookError(
                        f"Ray does not start here ({error}): try again when less runs, or use --backend local."
                    ) from error

    def __exit__(self, kind: type | None, *rest: object) -> None:
        if kind is not None:
            for reference in self._references:
                self._ray.cancel(reference)
        self._ray.shutdown()

    def submit(self, task: Task, **how: Any) -> Future:
        """Hand a run to Ray, which starts it anew, up to RETRIES times, where its node or process is lost."""
        reference = self._perform.remote(task, **how)
        self._references.append(reference)
        return reference.future()


def cpus_each(nodes: Sequence[Mapping[str, float]], slots: int) -> int:
    """The most CPUs that each of `slots` runs can have while all of them fit onto the nodes of a Ray cluster, given what
    each node has; one where not even so all fit. A run stands on one node, which has a GPU for it if any node has GPUs.

    Raises:
        WorkbookError: there is no node that could take a run; Ray would wait for one without a word.
    """
    has_gpus = any(node.get("GPU") for node in nodes)

    def places(cpus: int) -> float:
        return sum(min(node.get("CPU", 0) // cpus, node.get("GPU", 0) if has_gpus else math.inf) for node in nodes)

    if not places(1):
        raise WorkbookError(f"No node of the Ray cluster has a CPU{' and a GPU' * has_gpus} for a run: {list(nodes)}.")
    fitting = (cpus for cpus in range(1, int(max(node.get("CPU", 0) for node in nodes)) + 1) if places(cpus) >= slots)
    return max(fitting, default=1)


def visible_gpus() -> list[str]:
    """The GPUs that a run may be given, as CUDA_VISIBLE_DEVICES names them; asked of the driver, not of PyTorch, which
    would take seconds to import and hold a context on each."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip() not in ("", "-1")]
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listing.stdout.split() if listing.returncode == 0 else []


def _reach(address: str | None) -> None:
    """Raise an OSError at once where nobody answers; Ray would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _cpu_workers() -> int:
    memory = psutil.virtual_memory().total / 2**30
    return max(1, min(os.cpu_count() or 1, math.floor(memory / RUN_GIB)))


def _module(name: str, extra: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError:
        raise WorkbookValueError(
            f"This back end needs {name}: pip install -e '.[{extra}]', or use --backend local."
        ) from None


def _watched(done: Callable[[], bool], result: Callable[[], Any], every: float) -> Future:
    """A Future for a thing that can only be asked whether it is done."""
    future: Future = Future()

    def watch() -> None:
        try:
            while not done():
                time.sleep(every)
            future.set_result(result())
        except Exception as error:
            future.set_exception(error)

    Thread(target=watch, daemon=True).start()
    return future
