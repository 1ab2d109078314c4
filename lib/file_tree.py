"""What of a folder is data: its files and folders without what systems leave among them, links followed once."""

import os
from collections.abc import Iterator
from pathlib import Path

from lib.errors import WorkbookFileError

# By macOS, Synology and QNAP, Windows, Linux and Android, beside everything whose name begins with a dot (AppleDouble's
# ._x, .DS_Store, .ipynb_checkpoints, .thumbnails, …).
LEFT_BEHIND = frozenset(
    (
        *("__macosx", "icon\r", "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *(
            "thumbs.db",
            "ehthumbs.db",
            "desktop.ini",
            "$recycle.bin",
            "recycler",
            "system volume information",
            "found.000",
        ),
        *("lost+found", "lost.dir", "network trash folder", "temporary items", "@tmp"),
    )
)


def is_data(name: str) -> bool:
    """Whether a file or folder of that name is somebody's, and no system's."""
    return not name.startswith(".") and name.casefold() not in LEFT_BEHIND


def data_in(folder: str | Path) -> list[Path]:
    """The files and folders of a folder that are data, by name; links that lead nowhere are none.

    Raises:
        WorkbookFileError: the folder cannot be read.
    """
    return sorted(Path(entry.path) for entry in _entries(folder) if os.path.exists(entry.path))


def files_below(folder: str | Path) -> Iterator[str]:
    """The path of every file below a folder that is data, folder by folder.

    Links to folders are followed after all else; of a folder that several ways lead to, the first one counts.

    Raises:
        WorkbookFileError: a folder cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    starts = [os.fspath(folder)]
    for start in starts:  # which grows by the links that are met
        pending = [start]
        while pending:
            here = pending.pop()
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            folders = []
            for entry in _entries(here):
                if entry.is_symlink():
                    if os.path.isdir(entry.path):
                        starts.append(entry.path)
                    elif os.path.isfile(entry.path):
                        yield entry.path
                elif entry.is_dir():
                    folders.append(entry.path)
                elif entry.is_file():
                    yield entry.path
            pending += sorted(folders, reverse=True)


def _entries(folder: str | Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if is_data(entry.name)]
    except OSError as error:
        raise WorkbookFileError(
            f"The folder {os.fspath(folder)!r} cannot be read ({error.strerror}); make it readable, or move it elsewhere."
        ) from error
