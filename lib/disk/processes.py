"""Which process wrote something, and whether it still runs: on any number of machines that share a folder."""

import contextlib
import os
import platform
from functools import cache
from pathlib import Path

import psutil


def machine() -> str:
    """Tells machines apart, and containers on one machine: only within one of these do process numbers mean anything."""
    parts = [platform.node()]
    for path, read in (
        ("/proc/sys/kernel/random/boot_id", lambda p: Path(p).read_text().strip()),
        ("/proc/self/ns/pid", os.readlink),
    ):
        with contextlib.suppress(OSError):
            parts.append(read(path))
    return "/".join(parts)


def started() -> float:
    """When this process began, in seconds since 1970."""
    return _started(os.getpid())  # a forked process has another number, and begins anew


@cache
def _started(pid: int) -> float:
    return psutil.Process(pid).create_time()


def is_running(pid: int, started: float) -> bool:
    """Whether the process `pid` still runs; numbers are used again, so its start must fit."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
