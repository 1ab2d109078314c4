"""A function in several processes on this machine, which know of each other by torchrun's environment variables.

Processes that compute together wait for each other in ways that no signal of Python's interrupts, so all of them end when
one fails, at once: `torch.multiprocessing.spawn` asks them to end, which Lightning answers by asking the others.
"""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from lib.errors import WorkbookError

INTERRUPTED = 130  # exit status


def launch(function: Callable[..., object], *arguments: Any, devices: int) -> None:
    """Run `function(*arguments)` in `devices` processes on this machine until all have ended.

    `function` and `arguments` are pickled; a script that calls this guards itself with `if __name__ == "__main__"`.

    Raises:
        WorkbookError: one of them raised it, or was killed; the others are ended.
        RuntimeError: one of them failed otherwise, and has printed its stack trace.
    """
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // devices)
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(devices)}
    pipes = [context.Pipe(duplex=False) for _ in range(devices)]
    members = [
        context.Process(
            target=_member,
            args=(function, arguments, environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, threads, to_parent),
        )
        for rank, (_, to_parent) in enumerate(pipes)
    ]
    try:
        for member in members:
            member.start()
        _wait(members, [from_member for from_member, _ in pipes])
    finally:
        for member in members:
            if member.pid is not None:
                member.kill()


def _wait(members: Sequence[BaseProcess], pipes: Sequence[Connection]) -> None:
    """Until all have ended well, or one has not."""
    running = {member.sentinel: member for member in members}
    while running:
        ready = wait([*running, *pipes])
        for pipe in pipes:
            if pipe in ready:
                raise pipe.recv()
        ended = [running.pop(sentinel) for sentinel in ready]
        for member in ended:
            member.join()
        statuses = {member.exitcode for member in ended}
        if -signal.SIGKILL in statuses:
            raise WorkbookError(
                f"One of {len(members)} processes was killed: if memory did not suffice, lower batch_size or "
                "loader_workers. What is finished is kept, and the same command goes on from there."
            )
        if INTERRUPTED in statuses:
            raise KeyboardInterrupt
        if any(statuses):
            raise RuntimeError(f"One of {len(members)} processes failed; its stack trace stands above.")


def _member(
    function: Callable, arguments: tuple, environment: dict[str, str], threads: int, to_parent: Connection
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ |= environment
    torch.set_num_threads(threads)
    try:
        function(*arguments)
    except WorkbookError as error:
        to_parent.send(error)
        threading.Event().wait()  # to be ended with the others, which hear of no broken connection
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
