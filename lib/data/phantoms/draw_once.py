"""A drawn data set's folder: whole or absent, and never drawn over something else."""

import json
from collections.abc import Callable
from pathlib import Path

from lib.data.file_finder import not_made_here
from lib.errors import WorkbookFileError, WorkbookValueError
from lib.file_tree import data_in
from lib.files import is_free, save_folder
from lib.paths import given_path

SPEC_FILE = "phantom.json"


def drawn_here(root: Path, name: str) -> Path:
    """`root`, the folder of the drawings of the set `name`, one for each number of images.

    Raises:
        WorkbookFileError: anything but drawings lies there, such as somebody's own images.
    """
    root = given_path(root, f"The data root of {name}")
    if not is_free(root) and not (root.is_dir() and all((path / SPEC_FILE).is_file() for path in data_in(root))):
        raise not_made_here(root, name)
    return root


def draw_once(root: Path, name: str, version: int, images: int, seed: int, write: Callable[[Path], None]) -> Path:
    """Let `write` draw the set that the other arguments tell into the folder `root`, unless it holds just that set.

    Returns `root`, which is whole or absent at any time.

    Raises:
        WorkbookValueError: `seed` is negative. WorkbookFileError: `root` holds something else.
        WorkbookError: the drawing could not be written (a full disk, no permission).
    """
    if seed < 0:
        raise WorkbookValueError(f"The seed {seed} is negative; choose 0 or more.")
    root, spec = Path(root), {"name": name, "version": version, "images": images, "seed": seed}

    def draw(folder: Path) -> None:
        write(folder)
        (folder / SPEC_FILE).write_text(json.dumps(spec) + "\n")

    if not _holds(root, spec):
        save_folder(root, draw, lambda path: _holds(path, spec))
    return root


def too_few(images: int, what: str, least: int) -> WorkbookValueError:
    """The error for a number of images that is too small for `what`, where `least` would do."""
    return WorkbookValueError(f"{images} images are too few for {what}; ask for {least} or more.")


def _holds(root: Path, spec: dict) -> bool:
    """Whether `root` is the finished set of `spec`; False where it is free to be drawn into."""
    if is_free(root):
        return False
    try:
        held = json.loads((root / SPEC_FILE).read_text())
    except (OSError, ValueError):
        held = "something else"
    if held != spec:
        raise WorkbookFileError(f"{root} already holds {held}, not {spec}; delete that folder or choose another one.")
    return True
