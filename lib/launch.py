"""A function in several processes on this machine, which know of each other by torchrun's environment variables."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import torch
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException, get_context, spawn

from lib.errors import WorkbookError

GRACE_S = 2.0  # for the others to end by themselves when one has failed


def launch(function: Callable[..., object], *arguments: Any, devices: int) -> None:
    """Run `function(*arguments)` in `devices` processes on this machine until all have ended.

    `function` and `arguments` are pickled; a script that calls this guards itself with `if __name__ == "__main__"`.

    Raises:
        WorkbookError: one of them failed; the others are ended.
    """
    threads = max(1, torch.get_num_threads() // devices)
    failures = get_context("spawn").SimpleQueue()
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(devices)}
    context = spawn(_member, (function, arguments, environment, threads, failures), devices, join=False)
    try:
        while not context.join(grace_period=GRACE_S):
            pass
    except (ProcessRaisedException, ProcessExitedException) as failure:
        if not failures.empty():
            raise WorkbookError(failures.get()) from None
        if isinstance(failure, ProcessExitedException) and failure.exit_code == -signal.SIGKILL:
            raise WorkbookError(
                f"One of {devices} processes was killed: if memory did not suffice, lower batch_size or loader_workers. "
                "What is finished is kept, and the same command goes on from there."
            ) from failure
        raise  # a bug, with its stack trace
    finally:
        for process in context.processes:  # at an interrupt
            process.kill()


def _member(
    number: int, function: Callable, arguments: tuple, environment: dict[str, str], threads: int, failures: Any
) -> None:
    os.environ |= environment | {"RANK": str(number), "LOCAL_RANK": str(number)}
    torch.set_num_threads(threads)
    try:
        function(*arguments)
    except WorkbookError as error:
        failures.put(str(error))
        raise SystemExit(2) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
