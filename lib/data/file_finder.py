"""Where a data set lies on disk: its folder, its images, and the image of each row of its lists."""

import fnmatch
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from lib.data.image_names import image_key
from lib.data.imageset import refuse_unreadable
from lib.data.table_reader import refuse_rows
from lib.errors import WorkbookFileError
from lib.file_tree import data_in, files_below
from lib.paths import given_path

log = logging.getLogger(__name__)

# A list of images: its file, its rows (column `image_id`; the index tells the file's rows), and what tells an id's file.
ImageList = tuple[Path, pd.DataFrame, Callable[[str], str | None]]


def folder(root: Path, what: str) -> Path:
    """`root` as a folder that exists.

    Raises:
        WorkbookFileError: it does not exist or is a file.
    """
    root = given_path(root, f"The data root of {what}")
    if not os.path.isdir(root):
        state = "is a file" if os.path.exists(root) else "does not exist"
        raise WorkbookFileError(
            f"The data root {str(root)!r} of {what} {state}; give the folder that holds the data set."
        )
    return root


def not_made_here(root: Path, name: str) -> WorkbookFileError:
    """The error for a data root of the built-in set `name` in which anything else lies: nothing is written there."""
    held = ", ".join(path.name for path in data_in(root)[:3]) if root.is_dir() else "a file"
    return WorkbookFileError(
        f"The data root {str(root)!r} holds something else ({held}) than {name}, which the workbook makes itself: leave the "
        "data root out, or give a new or an empty folder; for your own images choose their data set, such as imagefolder."
    )


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
    inside = folders_in(root)
    for base in (root, *inside, *(deeper for path in inside for deeper in folders_in(path))):
        if (base / landmark).exists():
            return base
    raise no_data_set(root, name, landmark, advice)


def no_data_set(root: Path, name: str, landmark: str, advice: str = "") -> WorkbookFileError:
    """The error for a `root` without the `landmark` of a set; it goes on with `advice`, or the command to fetch the set."""
    advice = advice or f"Or fetch the set with `python -m lib.data.download {name}`."
    return WorkbookFileError(
        f"{root} is no {name} data set: no {landmark} in it. Give the folder that holds it. {advice}"
    )


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, by name; see `lib.file_tree`."""
    return [path for path in data_in(folder) if path.is_dir()]


def files_named(root: Path, pattern: str) -> list[Path]:
    """The files below `root` whose names match a pattern of the shell, whatever their case; in sorted order."""
    pattern = pattern.casefold()
    found = (path for path in files_below(root) if fnmatch.fnmatchcase(os.path.basename(path).casefold(), pattern))
    return sorted(map(Path, found))


def find_table(root: Path, name: str, suffixes: tuple[str, ...] = (".csv",)) -> Path | None:
    """The table `name` below `root`, in whatever case, the one with the shortest way; None without.

    Where none is called just that, its one copy is meant, as browsers and people make them: `name (1).csv`.

    Raises:
        WorkbookFileError: there are several copies, and no table of that very name.
    """
    tables = [path for path in files_named(root, f"{name}*") if path.suffix.lower() in suffixes]
    for ending in ("", "[ (~-].*", ".*"):
        named = [path for path in tables if re.fullmatch(re.escape(name) + ending, path.stem, re.IGNORECASE)]
        if named and ending and len(named) > 1:
            copies = ", ".join(str(path.relative_to(root)) for path in named)
            raise WorkbookFileError(
                f"There is no table {name} below {root}, but {copies}: give the right one that name, without more."
            )
        if named:
            first, *others = sorted(named, key=lambda path: len(path.parts))
            for other in others:
                log.warning("%s is read, and %s, of the same name, is not", first, other)
            return first
    return None


def listed_files(table: pd.DataFrame, base: Path) -> Callable[[str], str | None]:
    """Image id → file, as the columns `image_id` and `file` tell it below `base`; None where it is not there.

    A file that is not there by the very letters of the list is looked for as `image_key` compares names.
    """
    paths = {image_id: f"{base}/{file}" for image_id, file in zip(table["image_id"], table["file"], strict=True)}
    found = {image_id: path for image_id, path in paths.items() if os.path.isfile(path)}
    if len(found) < len(paths) and base.is_dir():
        there = {_place(path): path for path in files_below(base)}
        found |= {i: there[_place(path)] for i, path in paths.items() if i not in found and _place(path) in there}
    return found.get


def _place(path: str) -> str:
    """A path without its suffix, equal for all that `image_key` takes for one name."""
    path = path.replace("\\", "/")
    folders = unicodedata.normalize("NFC", os.path.dirname(path)).casefold()
    return f"{folders}/{image_key(path)}"


def attach_images(lists: Iterable[ImageList], skip_unreadable: bool) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows of all `lists`, one list after the other, each with the `path` of its image.

    Returns the rows that have one, and a line for each that has none.

    Raises:
        WorkbookValueError: an image id stands twice in a list. WorkbookFileError: a row without an image, unless skipped.
    """
    attached = [_attach(*entry, skip_unreadable) for entry in lists]
    return pd.concat([rows for rows, _ in attached], ignore_index=True), sum((lines for _, lines in attached), ())


def _attach(
    path: Path, table: pd.DataFrame, file_of: Callable[[str], str | None], skip: bool
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    repeated = table["image_id"][table["image_id"].duplicated()]
    refuse_rows(path, repeated, "image {value!r} stands there a second time; remove one row")
    paths = table["image_id"].map(file_of)
    missing = table.loc[paths.isna(), "image_id"]
    lines = tuple(
        f"{path}, row {i}: {f'no image file {name}.*' if name else 'the image has no id'}"
        for i, name in zip(missing.index, missing.to_numpy(), strict=True)
    )
    if lines and len(lines) == len(table):
        raise WorkbookFileError(
            f"None of the {len(table)} images that {path} lists was found; give the folder that holds both the list and the images."
        )
    refuse_unreadable(lines, skip)
    return table[paths.notna()].assign(path=paths.dropna()), lines


def class_folder_rows(
    folders: Iterable[Path], pictures_in: Callable[[Path], Mapping[str, str]], id_of: Callable[[Path], str]
) -> pd.DataFrame:
    """image_id, path, mask and label of the pictures of each class folder; the first is label 0.

    `pictures_in` gives the path of each picture and that of its mask, as `pictures_below` does.

    Raises:
        WorkbookFileError: a class folder without an image.
    """
    rows = []
    for label, class_folder in enumerate(folders):
        pictures = pictures_in(class_folder)
        if not pictures:
            raise WorkbookFileError(f"The class folder {class_folder} holds no image; fill or remove it.")
        rows += [(id_of(Path(path)), path, mask, label) for path, mask in pictures.items()]
    return pd.DataFrame(rows, columns=["image_id", "path", "mask", "label"])
