"""Processes that have imported the large packages before they begin: forked from a server that did so once.

What a notebook and the process that runs it import takes longer than many a notebook computes. Of `lib` nothing is
imported beforehand, so that every notebook runs the code that is on the disk when it starts. Where a process with all
that in it cannot safely be forked, on macOS, each begins with a fresh interpreter.
"""

import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

FORKS = sys.platform == "linux"
# None of these starts a thread or asks for a GPU when it is imported.
TOOLS = ("ipykernel.kernelapp", "papermill.execute", "nbconvert.exporters")  # with which any notebook is executed
PACKAGES = (  # which notebooks that import `lib` import through it
    *TOOLS,
    "torchvision",
    "pytorch_lightning",
    "timm",
    "pandas",
    "matplotlib.pyplot",
    "seaborn",
    "sklearn.metrics",
    "statsmodels.stats.meta_analysis",
    "pytorch_grad_cam",
)
_CONTEXT = multiprocessing.get_context("forkserver" if FORKS else "spawn")


def preload(packages: Sequence[str]) -> None:
    """Let processes have imported `packages` before they begin; the server stays as it was for the first that was started."""
    if FORKS:
        _CONTEXT.set_forkserver_preload([*packages])


def warm_up(packages: Sequence[str]) -> None:
    """`preload`, and let the server begin to import at once, beside what this process does before it starts another."""
    preload(packages)
    if FORKS:
        forkserver.ensure_running()


class _Stream:
    """A file descriptor that stays open on its way to a new process, where it is a number again."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple:
        return _detached, (DupFd(self.descriptor),)


def _detached(duplicate: Any) -> int:
    return duplicate.detach()


def start(
    module: str, argument: Any, environment: Mapping[str, str], folder: Path, stdout: int, stderr: int
) -> BaseProcess:
    """Start `module.main(argument)`, whose answer is the exit status, in a process and session of its own.

    Args:
        module: its full name.
        argument: anything that can be pickled.
        environment: all of its variables.
        folder: where it works.
        stdout, stderr: descriptors of what it prints into; its stdin is empty.
    """
    streams = _Stream(stdout), _Stream(stderr)
    process = _CONTEXT.Process(target=_begin, args=(module, argument, dict(environment), folder, *streams))
    process.start()
    return process


def _begin(module: str, argument: Any, environment: dict[str, str], folder: Path, stdout: int, stderr: int) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by the server, and in a script's job behind "&"
    with open(os.devnull) as nothing:
        for theirs, ours in ((nothing.fileno(), 0), (stdout, 1), (stderr, 2)):
            os.dup2(theirs, ours)
    surround(environment, folder)
    sys.exit(importlib.import_module(module).main(argument))


def surround(environment: Mapping[str, str], folder: str | Path) -> None:
    """Give this process its environment, its folder and, since libraries that are loaded do not look there again, the
    number of threads and the paths of modules that its environment asks for."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path not in sys.path]
    if threads := environment.get("OMP_NUM_THREADS"):
        threadpool_limits(int(threads))
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(int(threads))
