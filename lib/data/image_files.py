"""Which files of a folder are images, which are masks or copies of others, and which of them an image id means."""

import logging
import os
import re
import unicodedata
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import pandas as pd

from lib.errors import WorkbookFileError
from lib.file_tree import files_below

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
# Words at the end of a file's name that say it shows another image's object, or that image anew.
MASKS = ("mask", "segmentation", "seg", "groundtruth", "gt", "annotation", "label", "lesion", "trimap", "matte")
COPIES = ("thumb", "thumbnail", "preview", "superpixel")
ENDING = re.compile(rf"(.+?)[-_. ]({'|'.join(MASKS + COPIES)})s?(?:[-_. ]?\d+)?")
LAST_SIGNS = frozenset(word[-1] for word in MASKS + COPIES) | frozenset("s0123456789")
# And words that names of folders begin with, for files that are called as the image is.
FOLDER = re.compile(
    r"(?:^|[^a-z])(mask|segm|seg(?![a-z])|ground_?truth|gt(?![a-z])|annot|labels?(?![a-z])|trimap|matte)"
)
COPIES_FOLDER = re.compile(r"(?:^|[^a-z])(thumb|preview|superpixel)")
TAIL = 4096  # bytes at the end of two files that tell whether they are one


def is_image(path: str | Path) -> bool:
    """Whether a file's suffix is an image's."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def image_name(name: str) -> str:
    r"""An image's name without folders and suffix, in composed letters: `part_1\ISIC_1.JPG` and `ISIC_1` are one."""
    if name.isascii() and name.isidentifier():
        return name  # as nearly all are: a million are told in a fraction of a second
    name = name.replace("\\", "/").rpartition("/")[2].strip()
    stem, suffix = os.path.splitext(name)
    return unicodedata.normalize("NFC", stem if suffix.lower() in IMAGE_SUFFIXES else name)


def image_names(names: pd.Series) -> pd.Series:
    """`image_name` of each; a million that are plain cost no time."""
    text = "\n".join(names.to_numpy())
    plain = text.isascii() and not any(sign in text for sign in "./\\ ")
    return names if plain else names.map(image_name)


def image_key(name: str) -> str:
    """`image_name` in one case: equal for all that means one image."""
    return name.casefold() if name.isidentifier() and name.isascii() else image_name(name).casefold()


class ImageFiles:
    """The images below a folder by id, in which folders, suffix, case and Unicode's composition do not matter.

    ::

        files = ImageFiles(root)
        files.path("ISIC_0000001"), files.mask("ISIC_0000001")
    """

    def __init__(self, root: str | Path) -> None:
        self.root = os.fspath(root)
        self._first: dict[str, str] = {}  # key → path
        self._others: dict[str, list[str]] = defaultdict(list)  # key → further files of that name
        self._masks: dict[str, list[str]] = defaultdict(list)  # key of the image → files that are called its mask
        for path in filter(is_image, files_below(root)):
            key = image_key(path)
            if self._first.setdefault(key, path) != path:
                self._others[key].append(path)
            image, word = _ending(key)
            if word in MASKS:
                self._masks[image].append(path)

    def path(self, image_id: str) -> str | None:
        """The file of an image; None without one.

        Raises:
            WorkbookFileError: several files may be meant, and they are not the same.
        """
        key = image_key(image_id)
        if key not in self._others:
            return self._first.get(key)
        namesakes = self._namesakes(key)
        exact = [path for path in namesakes if image_name(path) == image_name(image_id)] or namesakes
        images = [path for path in exact if not self._role(path)] or exact
        other = next((path for path in images if not _same(images[0], path)), None)
        if other is not None:
            raise WorkbookFileError(
                f"Image {image_id!r} may be {images[0]} or {other}; move all but one of them out of {self.root}."
            )
        return images[0]

    def mask(self, image_id: str) -> str:
        """The file of an image's mask, called so or in a folder called so; "" without one."""
        key = image_key(image_id)
        if key in self._masks:
            return min(self._masks[key])
        if key in self._others:
            return min((path for path in self._namesakes(key) if self._role(path) == "mask"), default="")
        return ""

    def _namesakes(self, key: str) -> list[str]:
        return sorted([self._first[key], *self._others[key]])

    def _role(self, path: str) -> str:
        return _role_of_folder(os.path.dirname(path)[len(self.root) :])


def pictures_below(folder: str | Path) -> dict[str, str]:
    """The images below a folder, in sorted order, each with its mask, or "".

    A mask or a copy of another image (`cat_mask.png`, `masks/cat.png`, `cat_thumb.jpg` beside `cat.jpg`) is none.
    """
    own: dict[str, list[str]] = defaultdict(list)  # by key
    derived: list[tuple[str, str, str]] = []  # path, key of the image, role
    length = len(os.fspath(folder))
    for path in filter(is_image, files_below(folder)):
        image, word = _ending(image_key(path))
        role = ("mask" if word in MASKS else "copy") if word else _role_of_folder(os.path.dirname(path)[length:])
        derived.append((path, image, role)) if role else own[image].append(path)
    masks = {path: "" for paths in own.values() for path in paths}
    _tell_twins(own)
    left_out = []
    for path, image, role in sorted(derived):
        if image not in own:
            masks[path] = ""  # an image of its own, whatever it is called
            continue
        left_out.append(path)
        if role == "mask" and len(own[image]) == 1:
            masks[own[image][0]] = masks[own[image][0]] or path
    if left_out:
        log.info("%d masks or copies of other images are no images of their own: %s, …", len(left_out), left_out[0])
    return dict(sorted(masks.items(), key=lambda entry: entry[0].split(os.sep)))


def _tell_twins(images: dict[str, list[str]]) -> None:
    for paths in images.values():
        if len(paths) > 1 and len({os.path.dirname(path) for path in paths}) < len(paths):
            log.warning(
                "%s and its like differ in their suffix only: remove one of them if they show the same", paths[0]
            )
            return


def _ending(key: str) -> tuple[str, str]:
    """The key of the image whose mask or copy a file of that key is called, and the word; itself and "" of others."""
    match = ENDING.fullmatch(key) if key[-1:] in LAST_SIGNS else None
    return (match[1], match[2]) if match else (key, "")


@lru_cache(maxsize=4096)
def _role_of_folder(below: str) -> str:
    """What the names of folders say of the files in them: "mask", "copy" or ""."""
    names = below.casefold()
    return "mask" if FOLDER.search(names) else "copy" if COPIES_FOLDER.search(names) else ""


def _same(first: str, other: str) -> bool:
    """Whether two files of one name are one picture: mirrors hold whole archives twice, which are not read for this."""
    return first == other or (os.path.getsize(first) == os.path.getsize(other) and _tail(first) == _tail(other))


def _tail(path: str) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - TAIL))
        return file.read()
