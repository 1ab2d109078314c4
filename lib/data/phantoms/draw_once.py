"""A drawn data set's folder: whole or absent, and never drawn over something else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from lib.errors import WorkbookError, WorkbookFileError

SPEC_FILE = "phantom.json"


def draw_once(root: Path, spec: dict, write: Callable[[Path], None]) -> Path:
    """Let `write` draw the set that `spec` tells into the folder `root`, unless it holds just that set; returns `root`.

    The set is drawn in a hidden folder beside `root` and renamed when finished, so `root` is whole or absent.

    Raises:
        WorkbookFileError: `root` holds something else.
        WorkbookError: the drawing could not be written (a full disk, no permission).
    """
    root = Path(root)
    draft = root.parent / f".{root.name}-{uuid4().hex[:8]}"
    try:
        if not _holds(root, spec):
            draft.mkdir(parents=True)
            write(draft)
            (draft / SPEC_FILE).write_text(json.dumps(spec) + "\n")
            _publish(draft, root, spec)
    except WorkbookError:
        raise
    except OSError as error:
        raise WorkbookError(
            f"Could not draw into {root}: {error}. Free some space or choose another folder."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return root


def _holds(root: Path, spec: dict) -> bool:
    """Whether `root` is the finished set of `spec`; False where it is free to be drawn into."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / SPEC_FILE).read_text())
    except (OSError, ValueError):
        found = "something else"
    if found != spec:
        raise WorkbookFileError(f"{root} already holds {found}, not {spec}; delete that folder or choose another one.")
    return True


def _publish(draft: Path, root: Path, spec: dict) -> None:
    try:
        os.rename(draft, root)
    except OSError:
        if not _holds(root, spec):  # else another process has drawn the same set meanwhile
            raise
