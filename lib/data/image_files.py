"""Which files of a folder are images, which are masks or copies of others, and which of them an image id means."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from lib.data.image_names import image_key, image_name, is_image, role_of_folder, said, unnumbered
from lib.data.masks import SEVERAL
from lib.errors import WorkbookFileError
from lib.file_tree import files_below

log = logging.getLogger(__name__)

TAIL = 4096  # bytes at the end of two files that tell whether they are one


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
        # key of the image → files that are called its mask, the likeliest with the least number
        self._masks: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for path in filter(is_image, files_below(root)):
            key = image_key(path)
            if self._first.setdefault(key, path) != path:
                self._others[key].append(path)
            role, images = said(key)
            for likeliness, image in enumerate(images if role == "mask" else ()):
                self._masks[image].append((likeliness, path))

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
        """The file of an image's mask, called so or in a folder called so, or the files (`one_mask`); "" without one."""
        key = image_key(image_id)
        if key in self._masks:
            likeliest, _ = min(self._masks[key])
            return one_mask(path for likeliness, path in self._masks[key] if likeliness == likeliest)
        if key in self._others:
            return min((path for path in self._namesakes(key) if self._role(path) == "mask"), default="")
        return ""

    def _namesakes(self, key: str) -> list[str]:
        return sorted([self._first[key], *self._others[key]])

    def _role(self, path: str) -> str:
        return role_of_folder(os.path.dirname(path)[len(self.root) :])


def pictures_below(folder: str | Path) -> dict[str, str]:
    """The images below a folder, in sorted order, each with its mask, or "".

    A mask or a copy of another image (`cat_mask.png`, `masks/cat.png`, `cat_thumb.jpg` beside `cat.jpg`) is none.
    """
    own: dict[str, list[str]] = defaultdict(list)  # by key
    derived: list[tuple[str, str, str, list[str]]] = []  # key, path, role, keys of the images
    length = len(os.fspath(folder))
    for path in filter(is_image, files_below(folder)):
        key = image_key(path)
        role, images = said(key)
        if not role:
            role, images = role_of_folder(os.path.dirname(path)[length:]), [key]
        derived.append((key, path, role, images)) if role else own[key].append(path)
    _tell_twins(own)
    masks = _attributed(derived, own)
    pictures = dict.fromkeys((path for paths in own.values() for path in paths), "")
    for key, of_image in masks.items():
        if len(own[key]) == 1:
            pictures[own[key][0]] = one_mask(of_image)
    return dict(sorted(pictures.items(), key=lambda entry: entry[0].split(os.sep)))


def _attributed(derived: list[tuple[str, str, str, list[str]]], own: dict[str, list[str]]) -> dict[str, list[str]]:
    """The masks among files that are called masks or copies, by the key of their image; those of no image join `own`."""
    masks, left_out, alone = defaultdict(list), [], defaultdict(list)
    for key, path, role, images in sorted(derived, key=lambda entry: (len(entry[0]), entry[1])):
        image = next((image for image in images if image in own), None)
        if image is None and images != [key]:
            own[key].append(path)  # an image of its own, whatever it is called, that may have a mask
        elif image is None:
            alone[key].append(path)
        else:
            left_out.append(path)
            if role == "mask":
                masks[image].append(path)
    for key, paths in alone.items():
        own[key] += paths
    if left_out:
        log.info("%d masks or copies of other images are no images of their own: %s, …", len(left_out), left_out[0])
    return masks


def one_mask(paths: Iterable[str]) -> str:
    """Of files that are called an image's mask the first, with those that differ from it in a number at the end: as
    BUSI has them, a mask an object."""
    first, *others = sorted(paths)
    return SEVERAL.join([first, *(path for path in others if unnumbered(path) == unnumbered(first))])


def _tell_twins(images: dict[str, list[str]]) -> None:
    for paths in images.values():
        if len(paths) > 1 and len({os.path.dirname(path) for path in paths}) < len(paths):
            log.warning(
                "%s and its like differ in their suffix only: remove one of them if they show the same", paths[0]
            )
            return


def _same(first: str, other: str) -> bool:
    """Whether two files of one name are one picture: mirrors hold whole archives twice, which are not read for this."""
    return first == other or (os.path.getsize(first) == os.path.getsize(other) and _tail(first) == _tail(other))


def _tail(path: str) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - TAIL))
        return file.read()
