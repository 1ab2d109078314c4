"""Files and folders that are written whole or not at all, and are on the disk when it is said so: a killed process leaves
the old one, a power cut too, a full disk an error."""

import contextlib
import errno
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib.disk.scratch import remove, scratch_beside
from lib.errors import WorkbookError

FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
KEPT = "what is finished is kept, and the same command goes on from there"


def save_whole(path: Path, save: Callable[[Path], object], size: int | None = None) -> None:
    """Let `save` write a scratch file beside `path`, flush it and move it into place; several processes may do so at once.

    `size` is what it will take in bytes, as far as that is known: a full disk is told with it.

    Raises:
        WorkbookError: the disk is full, the folder cannot be written, or `path` is a folder, which is told before `save` begins.
    """
    if path.is_dir():
        raise WorkbookError(f"Cannot write {path}: it is a folder. Give the name of a file.")
    with _beside(path, size) as scratch:
        save(scratch)
        _flush(scratch)
        os.replace(scratch, path)
        _flush_names(path.parent)


def save_folder(path: Path, save: Callable[[Path], object], is_same: Callable[[Path], bool] = Path.is_dir) -> None:
    """Let `save` fill a scratch folder beside `path`, flush and move it into place, where there is none or an empty one.

    When another process was first and `is_same(path)` says that its folder is as good, that one stays.

    Raises:
        WorkbookError: the disk is full or the folder cannot be written.
    """
    with _beside(path) as scratch:
        scratch.mkdir()
        save(scratch)
        os.sync()  # at once: file by file a folder of many small ones would take minutes
        try:
            os.rename(scratch, path)
        except OSError:
            if not is_same(path):
                raise
        _flush_names(path.parent)


def make_folder(path: Path) -> Path:
    """`path`, which is a folder from now on.

    Raises:
        WorkbookError: it cannot be made.
    """
    with told(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def is_free(path: Path) -> bool:
    """Whether `save_folder` can make `path`: nothing is there, or an empty folder."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def json_text(content: object) -> str:
    """JSON that every reader reads: it has no NaN, so a number that is none becomes null."""
    return json.dumps(_missing_as(None, content), indent=1, allow_nan=False)


def from_json(text: str) -> Any:
    """What JSON tells.

    Raises:
        ValueError: it is none, or is nested deeper than Python follows.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def with_nan(content: object) -> object:
    """What `json_text` was given, of what it has written: null is a number that is none."""
    return _missing_as(math.nan, content)


def _missing_as(nothing: float | None, content: object) -> object:
    if isinstance(content, dict):
        return {name: _missing_as(nothing, value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_missing_as(nothing, value) for value in content]
    is_missing = content is None or (isinstance(content, float) and math.isnan(content))
    return nothing if is_missing else content


def write_text(path: Path, text: str) -> None:
    """`save_whole` for text, as UTF-8; bytes of a file's name that are no UTF-8 are written as they are."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """`save_whole` for bytes."""
    save_whole(path, lambda scratch: scratch.write_bytes(content), len(content))


@contextmanager
def told(path: Path, size: int | None = None, written: Callable[[], int] = lambda: 0) -> Iterator[None]:
    """What the system complains of while `path` is written, `size` bytes, as a WorkbookError with a remedy.

    `written` says how many bytes there was room for, where `size` is not known.
    """
    try:
        yield
    except WorkbookError:
        raise  # some of them are OSErrors, and tell more
    except OSError as error:
        first = _of_the_system(error)
        advice = _advice(first, path, size, written())
        raise WorkbookError(f"Cannot write {path}: {first.strerror or first}{advice}") from error


@contextmanager
def _beside(path: Path, size: int | None = None) -> Iterator[Path]:
    """A scratch name beside `path`, which is gone in the end."""
    reached = 0
    with told(path, size, lambda: reached):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = scratch_beside(path)
        try:
            yield scratch
        finally:
            with contextlib.suppress(OSError):
                reached = _bytes(scratch)
            remove(scratch)


def _of_the_system(error: OSError) -> OSError:
    """`error`, or the first of those that shutil has gathered into a text."""
    number = re.search(r"\[Errno (\d+)\]", str(error)) if isinstance(error, shutil.Error) else None
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else error


def _advice(error: OSError, path: Path, size: int | None, reached: int) -> str:
    if error.errno in FORBIDDEN:
        return f". Make {path.parent} writable (chmod u+w, or mount it so), or choose another folder; {KEPT}."
    if error.errno not in FULL:
        return f". Choose another place; {KEPT}."
    wanted = f"{size:,} bytes wanted" if size and size > reached else f"more than {reached:,} bytes wanted"
    return f": {wanted}, {_room(path)}. Free some space or choose another folder; {KEPT}."


def _room(path: Path) -> str:
    """'1,048,576 bytes free', and why that may not help."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    disk = os.statvfs(folder)
    no_more = " and no more files allowed" if disk.f_files and not disk.f_favail else ""
    return f"{shutil.disk_usage(folder).free:,} bytes free{no_more}"


def _bytes(path: Path) -> int:
    """Of a file, or of all files of a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _flush(path: Path) -> None:
    """Wait until what was written to a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_names(folder: Path) -> None:
    """Wait until the folder's list of names is on the disk; not every file system knows how."""
    with contextlib.suppress(OSError):
        _flush(folder)
