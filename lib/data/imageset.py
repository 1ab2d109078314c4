"""What every loader returns: an `ImageSet`, one row an image, and the checks all of them share."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from lib.data.decoding import Size, decode, decode_mask, height_and_width, picture_size
from lib.errors import WorkbookFileError, WorkbookValueError, nearest

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
JUNK = -1  # the identity of images that no evaluation counts
DISTRACTOR = 0  # that of images in a gallery that are nobody's right answer
OPTIONAL = {"box": "", "identity": 0, "camera": 0}  # columns that a loader may leave out, and what they hold then
_listed: set[str] = set()  # what this process has warned of already: a set is loaded more than once


class ImageRow(Protocol):
    """One of an `ImageSet`'s rows, as `rows.itertuples()` and `rows.iloc[i]` give it."""

    path: str
    mask: str


@dataclass(frozen=True)
class ImageSet:
    """Images with labels.

    `rows` has one row an image and at least these columns: `image_id` (str, no two alike), `path` (str), `label` (index
    into `classes`), `group` (images of one group, a lesion, never stand on two sides of a split), `mask` (path of the
    lesion's mask, "" without one) and `part` (the official split's name, "" where the set has none).

    A loader may give three more, which are filled in where it does not: `box` ("x y width height" of the object in
    pixels of the original image as a viewer shows it, both sides above 0, "" without one), and in a re-identification set `identity` (1, 2,
    …; 0 a distractor, −1 junk) and `camera` (1, 2, …); both are 0 in all other sets. There `part` is train, query or
    gallery, `group` is the identity, and `classes` are all identities of all parts (see `label_identities`).
    """

    name: str
    classes: tuple[str, ...]
    rows: pd.DataFrame
    is_phantom: bool = False  # drawn, not photographed: every figure on it says so
    unreadable: tuple[str, ...] = field(default=())  # images that `skip_unreadable` left out, with the reason
    banner: int = 0  # lowest rows of pixels of every original that are no part of the picture: see `Dataset.banner`

    def __post_init__(self) -> None:
        if "image_id" in self.rows:  # what is only looked at may have none
            _refuse_twice(self.name, self.rows)
        absent = {name: value for name, value in OPTIONAL.items() if name not in self.rows}
        if absent:
            object.__setattr__(self, "rows", self.rows.assign(**absent))

    @property
    def is_reid(self) -> bool:
        """Whether this is a re-identification set: images of identities, seen by cameras."""
        return bool((self.rows["identity"] > 0).any())

    @property
    def counts(self) -> pd.Series:
        """Number of images of each class, in the order of `classes`."""
        return self.rows["label"].value_counts().reindex(range(len(self.classes)), fill_value=0).set_axis(self.classes)

    def decode(self, row: ImageRow, size: Size) -> np.ndarray:
        """The picture of one of `rows` as uint8 [height, width, 3]: upright, without the banner; see `lib.data.decode`."""
        return decode(row.path, size, self.banner)

    def decode_mask(self, row: ImageRow, size: Size) -> np.ndarray:
        """The mask of one of `rows` as uint8 [height, width], cut and squeezed as its picture is; 0 without a mask."""
        if not row.mask:
            return np.zeros(height_and_width(size), np.uint8)
        return decode_mask(row.mask, row.path, size, self.banner)

    def thumbnail(self, row: ImageRow, side: int) -> np.ndarray:
        """The picture of one of `rows` in its own proportions, its longer side `side` pixels or less."""
        width, height = self.picture_size(row)
        scale = min(1, side / max(width, height))
        return self.decode(row, (max(1, round(height * scale)), max(1, round(width * scale))))

    def picture_size(self, row: ImageRow) -> tuple[int, int]:
        """Width and height, in pixels, of the original of one of `rows`: upright, without the banner."""
        return picture_size(row.path, self.banner)

    def without(self, problems: dict[str, str]) -> ImageSet:
        """The same set without the images named in `problems` (image_id → what is wrong)."""
        kept = self.rows[~self.rows["image_id"].isin(problems)].reset_index(drop=True)
        return replace(self, rows=kept, unreadable=(*self.unreadable, *problems.values()))

    def fingerprint(self) -> str:
        """Eight hex digits that follow ids, labels, groups and file sizes, wherever the files lie."""
        digest = hashlib.sha256()
        for row in self.rows.itertuples():
            digest.update(f"{row.image_id}|{row.label}|{row.group}|{os.path.getsize(row.path)}\n".encode())
        return digest.hexdigest()[:8]


def _refuse_twice(name: str, rows: pd.DataFrame) -> None:
    again = rows["image_id"].duplicated()
    if again.any():
        image = rows.loc[again, "image_id"].iloc[0]
        parts = " and ".join(part for part in rows.loc[rows["image_id"] == image, "part"].unique() if part)
        where = f" (official parts: {parts})" if parts else ""
        raise WorkbookValueError(
            f"Image {image!r} stands in {name} twice{where}, so that it could be trained and tested on; remove one of its rows."
        )


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


def unpacked(root: Path, name: str) -> Path | None:
    """The folder `name` that an archive unpacks to: `root` itself, in it, or one folder further down; else None."""
    candidates = (root, root / name, *sorted(root.glob(f"[!.]*/{name}")))
    return next((path for path in candidates if path.absolute().name == name and path.is_dir()), None)


def images_by_stem(root: Path) -> dict[str, Path]:
    """All image files below `root`, by file name without suffix; of namesakes the first in sorted order wins.

    (Archives from some mirrors hold every image twice, in `ham10000_images_part_1` and `HAM10000_images_part_1`.)
    """
    found: dict[str, Path] = {}
    for parent, _, files in sorted(os.walk(root, followlinks=True)):
        for name in files:
            path = Path(parent, name)
            if path.suffix.lower() in IMAGE_SUFFIXES:
                found.setdefault(path.stem, path)
    return found


def read_table(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """A table separated by commas, tabs or semicolons, with all of `columns`; text stays text (ids keep their zeros).

    The index counts the file's rows as an editor does: the header is row 1.

    Raises:
        WorkbookFileError: not a table. WorkbookValueError: a column is missing.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            header = file.readline()
        separator = next((s for s in "\t;" if s in header), ",")
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise WorkbookFileError(f"{path} is not a readable CSV table ({error}).") from error
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise WorkbookValueError(
            f"{path} lacks the column {missing[0]!r}; it has {', '.join(map(str, table.columns))}. "
            "Is this the data set's own metadata file?"
        )
    return table.set_axis(table.index + 2)


def label_indices(path: Path, values: pd.Series, classes: tuple[str, ...]) -> pd.Series:
    """Class names to indices; the index of `values` holds the row numbers of the file `path`.

    Raises:
        WorkbookValueError: names file, row and value of the first unknown class.
    """
    wrong = values[~values.isin(classes)]
    if len(wrong):
        guess = nearest(wrong.iloc[0], classes)
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise WorkbookValueError(
            f"{path}, row {wrong.index[0]}: unknown class {wrong.iloc[0]!r}.{hint} Known: {', '.join(classes)}."
        )
    return values.map({name: i for i, name in enumerate(classes)})


def attach_images(path: Path, table: pd.DataFrame, files: dict[str, Path], skip_unreadable: bool) -> tuple:
    """Give each row of `table` (column `image_id`, index: the row numbers of the file `path`) the `path` of its image.

    Returns the rows that have one, and a tuple with a line for each that has none.

    Raises:
        WorkbookValueError: an image id stands twice. WorkbookFileError: a row without an image, unless skipped.
    """
    twice = table["image_id"][table["image_id"].duplicated()]
    if len(twice):
        raise WorkbookValueError(
            f"{path}, row {twice.index[0]}: image {twice.iloc[0]!r} stands there a second time; remove one row."
        )
    paths = table["image_id"].map(files)
    missing = table.loc[paths.isna(), "image_id"]
    lines = tuple(f"{path}, row {i}: no image file {name}.*" for i, name in missing.items())
    if lines and len(lines) == len(table):
        raise WorkbookFileError(
            f"None of the {len(table)} images that {path} lists was found; give the folder that holds both the list and the images."
        )
    refuse_unreadable(lines, skip_unreadable)
    kept = table[paths.notna()].assign(path=paths.dropna().map(str))
    return kept.reset_index(drop=True), lines


def refuse_unreadable(lines: Iterable[str], skip: bool) -> None:
    """List images that cannot be used, once: as a warning when they may be skipped, else as the error.

    Raises:
        WorkbookFileError: there are some and `skip` is false.
    """
    lines = list(lines)
    if not lines:
        return
    shown = "; ".join(lines[:5]) + (f"; and {len(lines) - 5} more" if len(lines) > 5 else "")
    if not skip:
        raise WorkbookFileError(
            f"{len(lines)} image{'s' * (len(lines) > 1)} cannot be used: {shown}. "
            "Restore them, or go on without them with --skip-unreadable (skip_unreadable=True)."
        )
    for line in lines:
        if line not in _listed:
            _listed.add(line)
            log.warning("left out: %s", line)


def check_queries(names: Sequence[object], identities: np.ndarray) -> None:
    """Raise a WorkbookValueError for the first query, called by its name, that is junk or a distractor."""
    nobody = np.flatnonzero(identities <= DISTRACTOR)
    if len(nobody):
        first = nobody[0]
        raise WorkbookValueError(
            f"Query {names[first]} has the identity {identities[first]}, but only people are searched for, who are numbered "
            f"from 1 ({JUNK} is junk, {DISTRACTOR} a distractor): leave that image out."
        )


def label_identities(rows: pd.DataFrame) -> tuple[tuple[str, ...], pd.Series]:
    """The classes and labels of a re-identification set: one class an identity of any part, sorted by number.

    Junk and distractors are a class each, so that a label is always an index. Which identities a network learns is
    the split's matter: number those of its training rows anew, `np.unique(labels[train], return_inverse=True)[1]`.
    """
    known = sorted(rows["identity"].unique())
    names = tuple({JUNK: "junk", DISTRACTOR: "distractor"}.get(each, f"{each:04d}") for each in known)
    return names, rows["identity"].map({each: i for i, each in enumerate(known)})


def subset(images: ImageSet, limit: int | None) -> ImageSet:
    """About `limit` images, whole groups only, every class in its share but with at least six groups of each official part.

    Of a re-identification set, whole identities (and single distractors), in each part in its share.
    """
    if limit is None or limit >= len(images.rows):
        return images
    strata = ["part"] if images.is_reid else ["label", "part"]
    groups = images.rows.drop_duplicates("group")[["group", "label", "part"]]
    share = limit / len(images.rows)
    kept: set[str] = set()
    for _, own in groups.groupby(strata):
        number = min(len(own), max(6, round(share * len(own))))
        kept.update(own["group"].sample(n=number, random_state=0))
    rows = images.rows[images.rows["group"].isin(kept)].reset_index(drop=True)
    if not images.is_reid:
        return replace(images, rows=rows)
    classes, labels = label_identities(rows)
    return replace(images, classes=classes, rows=rows.assign(label=labels))
