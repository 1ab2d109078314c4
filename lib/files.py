"""Files and folders that are written whole or not at all: a killed process leaves the old one, a full disk an error."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from lib.errors import WorkbookError


def save_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Let `save` write a scratch file beside `path` and move it into place; several processes may do so at once.

    Raises:
        WorkbookError: the disk is full or the folder cannot be written.
    """
    with _beside(path) as scratch:
        save(scratch)
        os.replace(scratch, path)


def save_folder(path: Path, save: Callable[[Path], object], is_same: Callable[[Path], bool] = Path.is_dir) -> None:
    """Let `save` fill a scratch folder beside `path` and move it into place, where there is none or an empty one.

    When another process was first and `is_same(path)` says that its folder is as good, that one stays.

    Raises:
        WorkbookError: the disk is full or the folder cannot be written.
    """
    with _beside(path) as scratch:
        scratch.mkdir()
        save(scratch)
        try:
            os.rename(scratch, path)
        except OSError:
            if not is_same(path):
                raise


def write_text(path: Path, text: str) -> None:
    """`save_whole` for text, as UTF-8."""
    save_whole(path, lambda scratch: scratch.write_text(text, encoding="utf-8"))


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name of our own beside `path`, which is gone in the end; what the system complains of is told with a remedy."""
    scratch = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True) if scratch.is_dir() else scratch.unlink(missing_ok=True)
    except WorkbookError:
        raise  # some of them are OSErrors, and tell more
    except OSError as error:
        raise WorkbookError(
            f"Cannot write {path}: {error.strerror or error}. Free some space or choose another folder; what is finished is "
            "kept, and the same command goes on from there."
        ) from error
