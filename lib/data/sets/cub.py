"""CUB-200-2011 in its official layout (Wah et al., Caltech technical report CNS-TR-2011-001): 200 species of birds.

Expected in one folder: `images.txt` (number, path below `images/`), `image_class_labels.txt`, `classes.txt`,
`train_test_split.txt` (1 train, 0 test), and, if there, `bounding_boxes.txt` (x, y, width, height) and
`parts/parts.txt` with `parts/part_locs.txt` (image, part, x, y, visible). 11,788 images, 5,994 of them to train on.
Numbers need not be contiguous, and a few images are grey.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lib.data.boxes import read_boxes
from lib.data.file_finder import attach_images, find_base, listed_files
from lib.data.imageset import ImageSet
from lib.data.table_reader import lookup, numbers, read_list, refuse_rows, whole_numbers
from lib.errors import WorkbookFileError, WorkbookValueError

ADVICE = "The archive is CUB_200_2011.tgz of https://data.caltech.edu/records/65de6-vp158; its layout stands in data/README.md."
PARTS = {"1": "train", "0": "test"}


class Part(NamedTuple):
    """Where a part of the object is, in pixels of the original image, and whether it can be seen."""

    x: float
    y: float
    visible: bool


def load_cub(root: Path, name: str = "CUB-200-2011", skip_unreadable: bool = False) -> ImageSet:
    """Read the lists and find each image; the classes are those that have an image, in the order of their numbers.

    Raises:
        WorkbookFileError: no data set there, a list or an image missing (unless `skip_unreadable`).
        WorkbookValueError: a malformed line, a number listed twice, without class or part, a class without a name.
    """
    base = find_base(root, name, "images.txt", ADVICE)
    path, labels, split = base / "images.txt", base / "image_class_labels.txt", base / "train_test_split.txt"
    table = read_list(path, "number", "file")
    lookup(path, table, "number", "file")  # no number stands twice
    names = _classes(base)
    kinds = _of_images(path, table, labels, "class", names, "the class {!r}, which classes.txt does not list")
    sides = _of_images(path, table, split, "side", PARTS, "{!r}, which is neither 1 (train) nor 0 (test)")
    present = sorted(set(kinds), key=list(names).index)
    boxes = read_boxes(base / "bounding_boxes.txt", "number", ("x", "y", "width", "height"))
    table = table.assign(
        image_id=table["file"].str.rsplit(".", n=1).str[0],
        label=kinds.map({number: label for label, number in enumerate(present)}),
        part=sides.map(PARTS),
        box=table["number"].map(boxes).fillna(""),
    )
    rows, missing = attach_images([(path, table, listed_files(table, base / "images"))], skip_unreadable)
    return ImageSet(name, tuple(names[number] for number in present), rows, unreadable=missing)


def load_parts(images: ImageSet) -> dict[str, dict[str, Part]]:
    """Image id → name of a part → where it is, for a set in CUB-200-2011's layout; unlisted parts are absent.

    Raises:
        WorkbookFileError: the set has no part locations. WorkbookValueError: a malformed line, a part without a name.
    """
    base = next((p for p in Path(images.rows["path"].iloc[0]).parents if (p / "images.txt").is_file()), None)
    path = None if base is None else base / "parts" / "part_locs.txt"
    if path is None or not path.is_file():
        raise WorkbookFileError(
            f"{images.name} has no part locations: no parts/part_locs.txt beside its images. Use CUB-200-2011 or phantom-birds."
        )
    listed = path.with_name("parts.txt")
    names = lookup(listed, read_list(listed, "part", "name"), "part", "name")
    stems = read_list(base / "images.txt", "number", "file").set_index("number")["file"].str.rsplit(".", n=1).str[0]
    table = read_list(path, "number", "part", "x", "y", "visible")
    unknown = table["part"][~table["part"].isin(names)]
    refuse_rows(path, unknown, "parts.txt has no part {value!r}; restore the official lists")
    x, y, visible = (numbers(path, table[column]) for column in ("x", "y", "visible"))
    table = pd.DataFrame({"image": table["number"].map(stems), "part": table["part"].map(names), "x": x, "y": y})
    parts: dict[str, dict[str, Part]] = {}
    for row in table.assign(visible=visible == 1)[table["image"].isin(images.rows["image_id"])].itertuples():
        parts.setdefault(row.image, {})[row.part] = Part(row.x, row.y, row.visible)
    return parts


def _of_images(
    path: Path, table: pd.DataFrame, file: Path, column: str, known: Iterable[str], complaint: str
) -> pd.Series:
    """What the list `file` says of each image of `table`, read from the list `path`: one of `known`, else `complaint`."""
    values = table["number"].map(lookup(file, read_list(file, "number", column), "number", column))
    unlisted = table["number"][values.isna()]
    refuse_rows(path, unlisted, f"{file.name} does not list image {{value}}; restore the official lists")
    wrong = values[~values.isin(list(known))]
    if len(wrong):
        image, what = table.loc[wrong.index[0], "number"], complaint.format(wrong.iloc[0])
        raise WorkbookValueError(f"{file}: image {image} has {what}; restore the official lists.")
    return values


def _classes(base: Path) -> dict[str, str]:
    """Number → species, by number, without the number that its folder's name begins with."""
    path = base / "classes.txt"
    table = read_list(path, "number", "name")
    by_number = table.loc[whole_numbers(path, table["number"]).sort_values(kind="stable").index]
    names = lookup(path, by_number, "number", "name")
    return {number: name.split(".", 1)[-1] for number, name in names.items()}
