"""Files that are written whole or not at all: a killed process leaves the old one, a full disk an error."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from lib.errors import WorkbookError


def save_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Let `save` write a scratch file beside `path` and move it into place; several processes may do so at once.

    Raises:
        WorkbookError: the disk is full or the folder cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save(scratch)
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)
    except WorkbookError:
        raise  # some of them are OSErrors, and tell more
    except OSError as error:
        raise WorkbookError(
            f"Cannot write {path}: {error.strerror or error}. Free some space or choose another output folder; "
            "what is finished is kept, and the same command goes on from there."
        ) from error


def write_text(path: Path, text: str) -> None:
    """`save_whole` for text, as UTF-8."""
    save_whole(path, lambda scratch: scratch.write_text(text, encoding="utf-8"))
