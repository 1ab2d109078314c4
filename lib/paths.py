"""Where the workbook keeps things: data sets in `data/`, everything a run writes in `outputs/`."""

import os
from pathlib import Path

from lib.errors import WorkbookValueError

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
OUTPUTS = ROOT / "outputs"
NOTEBOOKS = ROOT / "notebooks"


def given_path(text: str | Path, what: str) -> Path:
    """A path that somebody has given as `what`, `~` for a home folder.

    Raises:
        WorkbookValueError: no file or folder can be called so.
    """
    try:
        path = Path(text).expanduser()
        if b"\0" in os.fsencode(path):
            raise ValueError("it holds a null character")
    except (ValueError, RuntimeError) as error:
        raise WorkbookValueError(f"{what} {str(text)!r} can be no path: {str(error).rstrip('.')}.") from error
    return path


def resolve_output(folder: str | Path) -> Path:
    """An output folder; a relative one is below the repository, wherever the notebook or command was started."""
    return ROOT / Path(folder).expanduser()
