"""Where a data set lies on disk: its folder, its images, and the image of each row of its lists."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from lib.data.imageset import IMAGE_SUFFIXES, refuse_unreadable
from lib.data.table_reader import refuse_rows
from lib.errors import WorkbookFileError

# A list of images: its file, its rows (column `image_id`; the index tells the file's rows), image id → image file.
ImageList = tuple[Path, pd.DataFrame, dict[str, Path]]


def folder(root: Path, what: str) -> Path:
    """`root` as a folder that exists.

    Raises:
        WorkbookFileError: it does not exist or is a file.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise WorkbookFileError(
            f"The data root {str(root)!r} of {what} {state}; give the folder that holds the data set."
        )
    return root


def unpacked(root: Path, name: str, archive_folder: str) -> Path:
    """The folder that the archive of the set `name` unpacks to: `root` itself, or one that `find_base` finds.

    Raises:
        WorkbookFileError: there is none.
    """
    if Path(root).absolute().name == archive_folder:
        return folder(root, name)
    return find_base(root, name, archive_folder) / archive_folder


def find_base(root: Path, name: str, landmark: str, advice: str = "") -> Path:
    """The folder that holds the file or folder `landmark`: `root`, one in it, or one in that.

    Raises:
        WorkbookFileError: there is none; see `no_data_set`.
    """
    root = folder(root, name)
    for base in (root, *sorted(root.glob("[!.]*")), *sorted(root.glob("[!.]*/[!.]*"))):
        if (base / landmark).exists():
            return base
    raise no_data_set(root, name, landmark, advice)


def no_data_set(root: Path, name: str, landmark: str, advice: str = "") -> WorkbookFileError:
    """The error for a `root` without the `landmark` of a set; it goes on with `advice`, or the command to fetch the set."""
    advice = advice or f"Or fetch the set with `python -m lib.data.download {name}`."
    return WorkbookFileError(
        f"{root} is no {name} data set: no {landmark} in it. Give the folder that holds it. {advice}"
    )


def images_by_stem(root: Path) -> dict[str, Path]:
    """All image files below `root`, by file name without suffix; of namesakes the first in sorted order wins.

    (Archives from some mirrors hold every image twice, in `ham10000_images_part_1` and `HAM10000_images_part_1`.)
    """
    images: dict[str, Path] = {}
    for parent, _, files in sorted(os.walk(root, followlinks=True)):
        for name in files:
            path = Path(parent, name)
            if path.suffix.lower() in IMAGE_SUFFIXES:
                images.setdefault(path.stem, path)
    return images


def listed_files(table: pd.DataFrame, base: Path) -> dict[str, Path]:
    """Image id → file, as the columns `image_id` and `file` tell it below `base`; those that are there."""
    paths = {image_id: base / file for image_id, file in zip(table["image_id"], table["file"], strict=True)}
    return {image_id: path for image_id, path in paths.items() if path.is_file()}


def attach_images(lists: Iterable[ImageList], skip_unreadable: bool) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows of all `lists`, one list after the other, each with the `path` of its image.

    Returns the rows that have one, and a line for each that has none.

    Raises:
        WorkbookValueError: an image id stands twice in a list. WorkbookFileError: a row without an image, unless skipped.
    """
    attached = [_attach(path, table, files, skip_unreadable) for path, table, files in lists]
    return pd.concat([rows for rows, _ in attached], ignore_index=True), sum((lines for _, lines in attached), ())


def _attach(path: Path, table: pd.DataFrame, files: dict[str, Path], skip: bool) -> tuple[pd.DataFrame, tuple]:
    repeated = table["image_id"][table["image_id"].duplicated()]
    refuse_rows(path, repeated, "image {value!r} stands there a second time; remove one row")
    paths = table["image_id"].map(files)
    missing = table.loc[paths.isna(), "image_id"]
    lines = tuple(f"{path}, row {i}: no image file {name}.*" for i, name in missing.items())
    if lines and len(lines) == len(table):
        raise WorkbookFileError(
            f"None of the {len(table)} images that {path} lists was found; give the folder that holds both the list and the images."
        )
    refuse_unreadable(lines, skip)
    return table[paths.notna()].assign(path=paths.dropna().map(str)), lines


def class_folder_rows(
    folders: Iterable[Path], paths_in: Callable[[Path], Iterable[Path]], id_of: Callable[[Path], str]
) -> pd.DataFrame:
    """image_id, path and label of the images that `paths_in` finds in each of the class folders; the first is label 0.

    Raises:
        WorkbookFileError: a class folder without an image.
    """
    rows = []
    for label, class_folder in enumerate(folders):
        paths = sorted(path for path in paths_in(class_folder) if path.suffix.lower() in IMAGE_SUFFIXES)
        if not paths:
            raise WorkbookFileError(f"The class folder {class_folder} holds no image; fill or remove it.")
        rows += [(id_of(path), str(path), label) for path in paths]
    return pd.DataFrame(rows, columns=["image_id", "path", "label"])
