"""What every loader returns: an `ImageSet`, one row an image, and the checks all of them share."""

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self

import numpy as np
import pandas as pd

from lib.data.decoding import Size, decode, picture_size
from lib.data.masks import decode_mask
from lib.errors import InputLost, WorkbookFileError, WorkbookValueError, height_and_width

log = logging.getLogger(__name__)

JUNK = -1  # the identity of images that no evaluation counts
DISTRACTOR = 0  # that of images in a gallery that are nobody's right answer
# Columns that a loader may leave out, and what they hold then.
OPTIONAL = {"mask": "", "part": "", "box": "", "identity": 0, "camera": 0}
LINE_ENDS = {"\r": "a carriage return", "\n": "a line break", "\0": "a null character"}
MOST_LISTED = 100  # lines of one warning: a disk that is not mounted lacks them all
_listed: set[str] = set()  # what this process has warned of already: a set is loaded more than once


class ImageRow(Protocol):
    """One of an `ImageSet`'s rows, as `rows.itertuples()` and `rows.iloc[i]` give it."""

    path: str
    mask: str


@dataclass(frozen=True)
class ImageSet:
    """Images with labels.

    `rows` has one row an image and these columns: `image_id` (str, no two alike), `path` (str) and `label` (index into
    `classes`). The others are filled in where a loader does not give them: `group` (images of one group, such as a
    lesion, never stand on two sides of a split; by default each image is its own), `mask` (path of the object's mask, ""
    without one; several files where it has a file an object, see `lib.data.masks.mask_files`), `part` (the official
    split's name, "" where the set has none), `box` ("x y width height" of the object
    in pixels of the original image as a viewer shows it, both sides above 0, "" without one), and in a
    re-identification set `identity` (1, 2, …; 0 a distractor, −1 junk) and `camera` (1, 2, …); both are 0 in all other
    sets. There `part` is train, query or gallery, `group` is the identity, and `classes` are all identities of all parts
    (see `label_identities`).
    """

    name: str
    classes: tuple[str, ...]
    rows: pd.DataFrame
    is_phantom: bool = False  # drawn, not photographed: every figure on it says so
    unreadable: tuple[str, ...] = ()  # images that `skip_unreadable` left out, with the reason
    banner: int = 0  # lowest rows of pixels of every original that are no part of the picture: see `Dataset.banner`

    def __post_init__(self) -> None:
        absent = {name: value for name, value in OPTIONAL.items() if name not in self.rows}
        if "image_id" in self.rows and "group" not in self.rows:  # what is only looked at may have no ids
            absent["group"] = self.rows["image_id"]
        if absent:
            object.__setattr__(self, "rows", self.rows.assign(**absent))
        refuse_line_ends(self.name, self.classes)
        if "image_id" in self.rows:
            _refuse_repeated(self.name, self.rows)

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

    def without(self, problems: dict[str, str]) -> Self:
        """The same set without the images named in `problems` (image_id → what is wrong)."""
        kept = self.rows[~self.rows["image_id"].isin(problems)].reset_index(drop=True)
        return replace(self, rows=kept, unreadable=(*self.unreadable, *problems.values()))

    def without_masks(self, image_ids: Iterable[str]) -> Self:
        """The same set, in which the images of these ids have no mask."""
        masks = self.rows["mask"].mask(self.rows["image_id"].isin(list(image_ids)), "")
        return replace(self, rows=self.rows.assign(mask=masks))

    def fingerprint(self) -> str:
        """Eight hex digits that follow ids, labels, groups and file sizes, wherever the files lie."""
        columns = [self.rows[name].tolist() for name in ("image_id", "label", "group")]  # ten times as fast as by rows
        rows = zip(*columns, self._stats[:, 0].tolist(), strict=True)
        text = "".join(f"{image}|{label}|{group}|{size}\n" for image, label, group, size in rows)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]

    def stamp(self) -> str:
        """Eight hex digits that follow the files' sizes and times: others after one was replaced, and of a copy."""
        return hashlib.sha256(self._stats.tobytes()).hexdigest()[:8]

    @cached_property
    def _stats(self) -> np.ndarray:
        """Size in bytes and time of the last change [ns] of each file, [N, 2]."""
        stats = map(file_stat, self.rows["path"].tolist())
        return np.array([(stat.st_size, stat.st_mtime_ns) for stat in stats], np.int64).reshape(-1, 2)


def file_stat(path: str) -> os.stat_result:
    """What the system says of an image's file; an InputLost where it is gone."""
    try:
        return os.stat(path)
    except OSError as error:
        raise InputLost(f"{path}: no such image file any more ({error.strerror}); put it back.") from error


def refuse_line_ends(what: str, classes: Iterable[str]) -> None:
    """Refuse names of classes of `what` that tables and lists of results would tear apart.

    Raises:
        WorkbookValueError: one holds a sign that ends a line or a text.
    """
    for name in classes:
        for sign, called in LINE_ENDS.items():
            if sign in name:
                raise WorkbookValueError(
                    f"The class name {name!r} of {what} holds {called}, which tables of results cannot: rename it."
                )


def _refuse_repeated(name: str, rows: pd.DataFrame) -> None:
    repeated = rows["image_id"].duplicated()
    if repeated.any():
        image = rows.loc[repeated, "image_id"].iloc[0]
        parts = " and ".join(part for part in rows.loc[rows["image_id"] == image, "part"].unique() if part)
        where = f" (official parts: {parts})" if parts else ""
        raise WorkbookValueError(
            f"Image {image!r} stands in {name} twice{where}, so that it could be trained and tested on; remove one of its rows."
        )


def refuse_unreadable(lines: Iterable[str], skip: bool) -> None:
    """List images that cannot be used, once: up to MOST_LISTED as warnings when they may be skipped, else as the error.

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
    new = [line for line in dict.fromkeys(lines) if line not in _listed]
    _listed.update(new)
    for line in new[:MOST_LISTED]:
        log.warning("left out: %s", line)
    if (more := len(new) - MOST_LISTED) > 0:
        log.warning("left out: %s more, of %s in all; the provenance of a run lists each", f"{more:,}", f"{len(new):,}")


def check_queries(names: Sequence[object], identities: np.ndarray) -> None:
    """Raise a WorkbookValueError for the first query, called by its name, that is junk or a distractor."""
    nobody = np.flatnonzero(identities <= DISTRACTOR)
    if len(nobody):
        first = nobody[0]
        raise WorkbookValueError(
            f"Query {names[first]} has the identity {identities[first]}, but a query shows an identity, and these are numbered "
            f"from 1 ({JUNK} is junk, {DISTRACTOR} a distractor): leave that image out."
        )


def label_identities(rows: pd.DataFrame) -> tuple[tuple[str, ...], pd.Series]:
    """The classes and labels of a re-identification set: one class an identity of any part, sorted by number.

    Junk and distractors are a class each, so that a label is always an index. Which identities a network learns is
    the split's matter: number those of its training rows anew, `np.unique(labels[train], return_inverse=True)[1]`.
    """
    identities = sorted(rows["identity"].unique())
    names = tuple({JUNK: "junk", DISTRACTOR: "distractor"}.get(number, f"{number:04d}") for number in identities)
    return names, rows["identity"].map({number: label for label, number in enumerate(identities)})


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
    for _, stratum in groups.groupby(strata):
        number = min(len(stratum), max(6, round(share * len(stratum))))
        kept.update(stratum["group"].sample(n=number, random_state=0))
    rows = images.rows[images.rows["group"].isin(kept)].reset_index(drop=True)
    if not images.is_reid:
        return replace(images, rows=rows)
    classes, labels = label_identities(rows)
    return replace(images, classes=classes, rows=rows.assign(label=labels))
