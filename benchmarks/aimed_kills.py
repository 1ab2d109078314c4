"""Processes that are killed at the worst moments: while a file that is relied upon is put into its place."""

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

MOMENTS = ("half", "before", "after")  # half of it is written; all, but it is not in its place; it has just got there
AIMS, SWEEP = "KILLS_AIMS", "KILLS_SWEEP"  # in the environment: a folder of aims, and the number of a sweep's process
Aim = tuple[str, str, str]  # a moment; whom, "it" or "sweep"; the name of the file that is written
Strike = tuple[str, Iterable[int]]  # a moment, and the processes that end then


def killing(replace: Callable, strike_at: Callable[[Path], Strike | None]) -> Callable:
    """`replace`, os.replace, that kills as `strike_at` tells of what it puts into place; nobody where that is None."""

    def replace_and_kill(source: str | Path, target: str | Path) -> None:
        moment, processes = strike_at(Path(target)) or ("", ())
        if moment == "half":
            os.truncate(source, os.path.getsize(source) // 2)
        if moment == "after":
            replace(source, target)
        for process in processes:
            os.kill(process, signal.SIGKILL)
        replace(source, target)

    return replace_and_kill


def write_aims(folder: Path, aims: Sequence[Aim]) -> Path:
    """A folder of aims, a file each, for processes that call `arm`. Each strikes once, one after the other: whoever
    first writes its file."""
    folder.mkdir()
    for number, aim in enumerate(aims):
        (folder / f"{number} {' '.join(aim)}").touch()
    return folder


def arm() -> None:
    """From now on this process is struck as the environment's folder of aims says; not at all where it names none.

    The first to be armed counts as the sweep for which all that it starts work.
    """
    if AIMS in os.environ:
        os.environ.setdefault(SWEEP, str(os.getpid()))
        os.replace = killing(os.replace, _next)


def _next(target: Path) -> Strike | None:
    """What the next aim says, if it is `target` that it waits for, and nobody else is struck."""
    aim = min(Path(os.environ[AIMS]).iterdir(), default=None)
    if aim is None:
        return None
    _, moment, whom, name = aim.name.split(" ")
    if name != target.name:
        return None
    try:
        aim.unlink()
    except FileNotFoundError:
        return None
    return moment, [*[int(os.environ[SWEEP])] * (whom == "sweep"), os.getpid()]
