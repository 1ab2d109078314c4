"""The files that a notebook reads, noted while it runs, so that it runs again when one of them has changed.

`run_all.py` names a file in the environment; `note` appends to it. Without that, as in JupyterLab, `note` does nothing.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

NOTES = "WORKBOOK_INPUTS"  # the environment's name of the file to append to
_noted: set[str] = set()


def note(path: str | Path) -> None:
    """Say that results depend on the file or folder at `path`, or on there being none."""
    notes, text = os.environ.get(NOTES), str(Path(path).absolute())
    if notes and text not in _noted:
        _noted.add(text)
        with open(notes, "a", encoding="utf-8") as file:
            file.write(text + "\n")


def states(notes: Path) -> dict[str, str]:
    """The state, now, of everything that was noted in the file `notes`."""
    if not notes.exists():
        return {}
    return {path: state(path) for path in sorted(set(notes.read_text(encoding="utf-8").splitlines()))}


def state(path: str | Path) -> str:
    """'absent', a file's size and time, or a digest of those of all files in a folder."""
    path = Path(path)
    try:
        found = path.stat()
    except OSError:
        return "absent"
    return _folder(path) if path.is_dir() else f"{found.st_size} bytes, {found.st_mtime_ns}"


def _folder(path: Path) -> str:
    digest = hashlib.sha256()
    for parent, folders, files in os.walk(path, followlinks=True):
        folders.sort()
        for name in sorted(files):
            found = os.stat(os.path.join(parent, name))
            digest.update(f"{os.path.relpath(parent, path)}/{name}|{found.st_size}|{found.st_mtime_ns}\n".encode())
    return f"folder {digest.hexdigest()[:16]}"
