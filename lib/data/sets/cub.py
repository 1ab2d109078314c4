"""CUB-200-2011 in its official layout (Wah et al., Caltech technical report CNS-TR-2011-001): 200 species of birds.

Expected in one folder: `images.txt` (number, path below `images/`), `image_class_labels.txt`, `classes.txt`,
`train_test_split.txt` (1 train, 0 test), and, if there, `bounding_boxes.txt` (x, y, width, height) and
`parts/parts.txt` with `parts/part_locs.txt` (image, part, x, y, visible). 11,788 images, 5,994 of them to train on.
Numbers need not be contiguous, and a few images are grey.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lib.data.boxes import sides_text
from lib.data.imageset import ImageSet, attach_images, folder
from lib.data.sets.lists import find_base, looked_up, numbers, read_list, whole_numbers
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
    base = find_base(folder(root, name), name, "images.txt", ADVICE)
    path = base / "images.txt"
    table = read_list(path, "number", "file")
    looked_up(path, table, "number", "file")  # no number stands twice
    for column, file in (("class", "image_class_labels.txt"), ("side", "train_test_split.txt")):
        table[column] = _of_images(path, table, base / file, column)
    wrong = table[~table["side"].isin(PARTS)]
    if len(wrong):
        raise WorkbookValueError(
            f"{base / 'train_test_split.txt'}: image {wrong['number'].iloc[0]} has {wrong['side'].iloc[0]!r}, which is neither 1 (train) nor 0 (test)."
        )
    names = _classes(base)
    wrong = table[~table["class"].isin(names)]
    if len(wrong):
        raise WorkbookValueError(
            f"{base / 'image_class_labels.txt'}: image {wrong['number'].iloc[0]} has the class {wrong['class'].iloc[0]!r}, which "
            "classes.txt does not list; restore the official lists."
        )
    used = set(table["class"])
    present = [number for number in names if number in used]
    boxes = _boxes(base / "bounding_boxes.txt")
    table = table.assign(
        image_id=table["file"].map(lambda file: file.rsplit(".", 1)[0]),
        label=table["class"].map({number: i for i, number in enumerate(present)}),
        part=table["side"].map(PARTS),
        box=table["number"].map(boxes).fillna(""),
    )
    files = {image_id: base / "images" / file for image_id, file in zip(table["image_id"], table["file"], strict=True)}
    rows, missing = attach_images(path, table, {i: p for i, p in files.items() if p.is_file()}, skip_unreadable)
    rows = rows[["image_id", "path", "label", "part", "box"]].assign(group=rows["image_id"], mask="")
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
    names = looked_up(listed, read_list(listed, "part", "name"), "part", "name")
    stems = read_list(base / "images.txt", "number", "file").set_index("number")["file"].str.rsplit(".", n=1).str[0]
    table = read_list(path, "number", "part", "x", "y", "visible")
    unknown = table["part"][~table["part"].isin(names)]
    if len(unknown):
        raise WorkbookValueError(
            f"{path}, row {unknown.index[0]}: parts.txt has no part {unknown.iloc[0]!r}; restore the official lists."
        )
    x, y, visible = (numbers(path, table[column]) for column in ("x", "y", "visible"))
    known = set(images.rows["image_id"])
    found: dict[str, dict[str, Part]] = {}
    for image, part, *place in zip(
        table["number"].map(stems), table["part"].map(names), x, y, visible == 1, strict=True
    ):
        if image in known:
            found.setdefault(image, {})[part] = Part(*place)
    return found


def _of_images(path: Path, table: pd.DataFrame, file: Path, column: str) -> pd.Series:
    """What the list `file` says of each image of `table`, read from the list `path`."""
    found = table["number"].map(looked_up(file, read_list(file, "number", column), "number", column))
    if found.isna().any():
        row = found.index[found.isna()][0]
        raise WorkbookValueError(
            f"{file} does not list image {table.loc[row, 'number']} ({path}, row {row}); restore the official list."
        )
    return found


def _classes(base: Path) -> dict[str, str]:
    """Number → species, by number, without the number that its folder's name begins with."""
    path = base / "classes.txt"
    table = read_list(path, "number", "name")
    by_number = table.loc[whole_numbers(path, table["number"]).sort_values(kind="stable").index]
    names = looked_up(path, by_number, "number", "name")
    return {number: name.split(".", 1)[-1] for number, name in names.items()}


def _boxes(path: Path) -> dict[str, str]:
    """Image number → "x y width height"; empty where the file is missing."""
    if not path.is_file():
        return {}
    table = read_list(path, "number", "x", "y", "width", "height")
    sides = table[["x", "y", "width", "height"]]
    return looked_up(path, table.assign(box=sides_text(path, sides)), "number", "box")
