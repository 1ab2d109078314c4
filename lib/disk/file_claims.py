"""Claims: who works on what, for any number of processes on any number of machines that share a folder.

A claim is a file, `.<name>.claim-<n>`, created exclusively, which is atomic on local disks and on NFS. Its owner touches
it every few seconds. When the owner has died (its process is gone or, seen from another machine, the file's time has
stood still for a minute) whoever creates generation n + 1 takes over. Exactly one can, however late it acts on what it
saw, because a generation that was taken over is never removed: its number cannot be had again. Nobody edits another's
claim: an owner that had only been asleep finds the newer generation and stops.
"""

import contextlib
import glob
import json
import logging
import math
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lib.disk.processes import is_running, machine, started
from lib.errors import WorkbookError, warn_once
from lib.files import from_json, make_folder, told, write_text

log = logging.getLogger(__name__)

BEAT_S = 5.0  # between two signs of life
STALE_S = 60.0  # without a sign of life an owner on another machine counts as dead
POLL_S = 0.5  # between two looks at a claim that another holds


class FileClaimLost(WorkbookError):
    """Another process has taken over what this one was working on."""


class FileClaim:
    """The right to work on `path`, which need not exist. Keep the object while you wait: it remembers what it saw."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._generation: int | None = None  # of ours, while we hold it
        self._seen: tuple[object, float] = (None, 0.0)  # another's sign of life, and when we first saw it
        self._released = threading.Event()

    def acquire(self) -> bool:
        """Take the claim if it is free or its owner is dead; False when a living process holds it.

        Raises:
            WorkbookError: the folder cannot be written.
        """
        make_folder(self.path.parent)
        latest = self._latest()
        while not (latest and self._alive(latest)):
            latest += 1
            if self._create(latest):
                return True  # else another was first: is it alive?
        return False

    def wait(self, report: Callable[[str], object], patience: float = math.inf) -> bool:
        """Acquire, for at most `patience` seconds; `report` is called once with the owner's name if there is one."""
        reported, until = False, time.monotonic() + patience
        while not self.acquire():
            if time.monotonic() >= until:
                return False
            if not reported:
                report(self.owner())
                reported = True
            time.sleep(POLL_S)
        return True

    def is_free(self) -> bool:
        """Whether nobody alive holds it. Asking does not take it."""
        latest = self._latest()
        return not latest or not self._alive(latest)

    def owner(self) -> str:
        """Who holds the claim: 'process 123 on host'."""
        owner = self._read(self._latest())
        return f"process {owner.get('pid', '?')} on {owner.get('host', 'an unknown machine')}"

    def check(self) -> None:
        """Call this now and then while you hold the claim.

        Raises:
            FileClaimLost: another process has taken over, because this one gave no sign of life for too long.
        """
        if self._generation is not None and not self._is_ours():
            raise FileClaimLost(
                f"{self.owner()} has taken over {self.path}, because this process gave no sign of life for "
                f"{STALE_S:.0f} s. It stops here; what it had saved is kept and the other goes on from there."
            )

    def release(self) -> None:
        """Give the claim back; the file stays and says so."""
        if self._generation is None:
            return
        self._released.set()
        if self._is_ours():
            try:
                write_text(self._file(self._generation), json.dumps(_ourselves() | {"released": True}))
            except WorkbookError:  # a full disk still lets files be removed
                self._file(self._generation).unlink(missing_ok=True)
        self._generation = None

    def _file(self, generation: int) -> Path:
        return self.path.with_name(f".{self.path.name}.claim-{generation}")

    def _latest(self) -> int:
        """The newest generation; 0 when nobody ever claimed."""
        numbers = (p.name.rpartition("-")[2] for p in self.path.parent.glob(f".{glob.escape(self.path.name)}.claim-*"))
        return max((int(n) for n in numbers if n.isascii() and n.isdigit()), default=0)

    def _is_ours(self) -> bool:
        """Whether our generation is there and the newest; asked without listing the folder, so often."""
        return self._file(self._generation).exists() and not self._file(self._generation + 1).exists()

    def _create(self, generation: int) -> bool:
        """Whether it is ours now: False where another was first."""
        file, content = self._file(generation), json.dumps(_ourselves())
        with told(file, len(content)):
            try:
                _write_new(file, content)
            except FileExistsError:
                return False
        self._generation = generation
        self._released = threading.Event()
        threading.Thread(target=_beat, args=(file, self._released), daemon=True).start()
        return True

    def _read(self, generation: int) -> dict:
        """Who holds it; nothing where its writer is at it just now, or died over it."""
        try:
            owner = from_json(self._file(generation).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return owner if isinstance(owner, dict) else {}

    def _alive(self, generation: int) -> bool:
        owner = self._read(generation)
        if owner.get("released"):
            return False
        if owner.get("machine") == machine():
            with contextlib.suppress(LookupError, TypeError, ValueError, OverflowError):  # it is damaged
                return is_running(int(owner["pid"]), float(owner["started"]))
        try:
            with open(self._file(generation), "rb") as file:  # on NFS only opening asks the server
                sign = (generation, os.fstat(file.fileno()).st_mtime_ns)
        except FileNotFoundError:
            return False
        if self._seen[0] != sign:
            self._seen = (sign, time.monotonic())  # by our own clock: machines' clocks differ
        elif not owner:
            warn_once(log, f"{self._file(generation)} is damaged: it counts as given up after {STALE_S:.0f} s")
        return time.monotonic() - self._seen[1] < STALE_S


def _beat(file: Path, released: threading.Event) -> None:
    while not released.wait(BEAT_S):
        try:
            os.utime(file)
        except OSError:
            return  # taken over, or removed by hand: `check` tells


def _write_new(file: Path, content: str) -> None:
    """Raises FileExistsError where the file is there already; on a full disk there is none afterwards."""
    with open(file, "x", encoding="utf-8") as opened:
        try:
            opened.write(content)
            opened.flush()
        except OSError:
            file.unlink(missing_ok=True)
            raise


def _ourselves() -> dict:
    return {"machine": machine(), "host": platform.node(), "pid": os.getpid(), "started": started()}
