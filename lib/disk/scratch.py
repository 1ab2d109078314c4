"""Scratch files: named after their writer, so that those of a killed one are known, and swept by whoever comes next."""

import hashlib
import os
import re
import shutil
import time
from functools import cache
from pathlib import Path
from uuid import uuid4

from lib.disk.processes import is_running, machine, started

# .<name>.<random>, as earlier builds wrote it too, and who writes it: machine, process, a hundred times its start
NAME = re.compile(r"\..+\.[0-9a-f]{8}(?:\.([0-9a-f]{8})-(\d+)-(\d+))?")
IDLE_S = 86_400.0  # without a change another machine's writer, of which nothing else is known, counts as dead
_swept: set[Path] = set()  # the folders that this process has looked through


def scratch_beside(path: Path) -> Path:
    """A name of this process's own in the folder of `path`, which is swept first."""
    sweep(path.parent)
    writer = f"{_machine()}-{os.getpid()}-{started() * 100:.0f}"
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}.{writer}")


def remove(path: Path) -> None:
    """Remove a scratch file or folder, if it is there."""
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what writers that were killed have left in `folder`, at this process's first visit."""
    if folder in _swept:
        return
    _swept.add(folder)
    with os.scandir(folder) as entries:
        left = [Path(entry.path) for entry in entries if entry.name[0] == "." and _is_orphan(entry)]
    for path in left:
        remove(path)


def _is_orphan(entry: os.DirEntry) -> bool:
    name = NAME.fullmatch(entry.name)
    if name is None:
        return False
    where, pid, began = name.groups()
    if where == _machine():
        return not is_running(int(pid), int(began) / 100)
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > IDLE_S
    except FileNotFoundError:
        return False  # it has just been moved into place


@cache
def _machine() -> str:
    return hashlib.sha256(machine().encode()).hexdigest()[:8]
