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
    """When this process began; see `_began`."""
    return _started(os.getpid())  # a forked process has another number, and begins anew


@cache
def _started(pid: int) -> float:
    return _began(psutil.Process(pid))


def _began(process: psutil.Process) -> float:
    """When a process began: on Linux in ticks since the machine did, which stay when its clock is set (psutil's time
    since 1970 does not); elsewhere in seconds since 1970."""
    with contextlib.suppress(OSError):
        return float(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
    return process.create_time()


def is_running(pid: int, started: float) -> bool:
    """Whether the process `pid` still runs; numbers are used again, so its start must fit."""
    try:
        process = psutil.Process(pid)
        return abs(_began(process) - started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
