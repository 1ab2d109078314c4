"""The files that a notebook reads, noted as it reads them, so that it runs again when one of them has changed since.

`run_all.py` names a file in the environment, to which `note` and `wrote` append. Without that, as in JupyterLab, they
do nothing.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from lib.file_tree import files_below
from lib.files import told

NOTES = "WORKBOOK_INPUTS"  # the environment's name of the file to append to
_noted: set[str] = set()


def note(path: str | Path) -> None:
    """Say that results depend on the file or folder at `path` as it is now, or on there being none; call it before
    reading. Of several looks the first counts: results may rest on what it saw, though another process writes later."""
    if str(Path(path).absolute()) not in _noted:
        wrote(path)


def wrote(path: str | Path) -> None:
    """Say that this process has seen to `path`: results depend on it as it is now, whatever it was at the first look."""
    notes, text = os.environ.get(NOTES), str(Path(path).absolute())
    if notes:
        _noted.add(text)
        with told(Path(notes)), open(notes, "a", encoding="utf-8") as file:
            file.write(json.dumps([text, state(path)]) + "\n")  # whatever a path may hold


def states(notes: Path) -> dict[str, str]:
    """Everything that was noted in the file `notes`, in the state in which it was read; the last note wins."""
    if not notes.exists():
        return {}
    noted: dict[str, str] = {}
    for line in notes.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):  # a killed process's last line
            noted |= [json.loads(line)]
    return noted


def state(path: str | Path) -> str:
    """'absent', a file's size and time, or a digest of those of all files in a folder."""
    path = Path(path)
    try:
        stat = path.stat()
    except (OSError, ValueError):  # or nothing can be called so
        return "absent"
    return _folder(path) if path.is_dir() else f"{stat.st_size} bytes, {stat.st_mtime_ns}"


def _folder(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(files_below(path)):
        stat = os.stat(file)
        digest.update(f"{file[len(str(path)) :]}|{stat.st_size}|{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return f"folder {digest.hexdigest()[:16]}"
