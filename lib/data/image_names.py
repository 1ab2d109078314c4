"""What the name of an image's file says: which image it means, and whether it is a mask or a copy of another one."""

import os
import re
import unicodedata
from functools import lru_cache
from pathlib import Path

import pandas as pd

IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
    )
)
# Words at the end of a file's name, or before it, that say it shows another image's object, or that image anew.
TRUTH = r"mask|segmentation|seg|ground[-_. ]?truth|gt"
MASKS = rf"{TRUTH}|annotation|label|lesion|trimap|matte"
COPIES = r"thumb|thumbnail|preview|superpixel"
NUMBER = re.compile(r"[-_. ]?(?:\d+|\(\d+\))$")
ENDING = re.compile(rf"(?P<image>.+?)[-_. ](?:(?P<mask>{MASKS})|{COPIES})s?(?:{NUMBER.pattern})?")
BEGINNING = re.compile(rf"(?:(?P<mask>{TRUTH})|{COPIES})s?[-_. ](?P<image>.+)")
# What such names end or begin with: a million others are told from them in half a second.
LAST = ("mask", "segmentation", "seg", "truth", "gt", "annotation", "label", "lesion", "trimap", "matte", "thumb")
LAST += ("thumbnail", "preview", "superpixel")
FIRST = ("mask", "seg", "ground", "gt", "thumb", "preview", "superpixel")
# And words that names of folders begin with, for files that are called as the image is.
FOLDER = re.compile(
    r"(?:^|[^a-z])(mask|segm|seg(?![a-z])|ground[-_. ]?truth|gt(?![a-z])|annot|labels?(?![a-z])|trimap|matte)"
)
COPIES_FOLDER = re.compile(r"(?:^|[^a-z])(thumb|preview|superpixel)")


def is_image(path: str | Path) -> bool:
    """Whether a file's suffix is an image's."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def image_name(name: str) -> str:
    r"""An image's name without folders and suffix, in composed letters: `part_1\ISIC_1.JPG` and `ISIC_1` are one."""
    if name.isascii() and name.isidentifier():
        return name  # as nearly all are: a million are told in a fraction of a second
    name = name.replace("\\", "/").rpartition("/")[2].strip()
    while (dot := name.rfind(".")) > 0 and name[dot:].lower() in IMAGE_SUFFIXES:
        name = name[:dot]  # once more where Market-1501 has `.jpg.jpg`, or a mask is called `x.jpg.png`
    return unicodedata.normalize("NFC", name)


def image_names(names: pd.Series) -> pd.Series:
    """`image_name` of each; a million that are plain cost no time."""
    text = "\n".join(names.to_numpy())
    plain = text.isascii() and not any(sign in text for sign in "./\\ ")
    return names if plain else names.map(image_name)


def image_key(name: str) -> str:
    """`image_name` in one case: equal for all that means one image."""
    return name.casefold() if name.isidentifier() and name.isascii() else image_name(name).casefold()


def said(key: str) -> tuple[str, list[str]]:
    """What a file of that `image_key` is called: "mask", "copy" or "", and the keys of the images it may be one of, the
    likeliest first: `x_gt_mask` is the mask of `x_gt`, or of `x` where there is no such image."""
    role, images = "", []
    while match := _derived(key):
        role = role or ("mask" if match["mask"] else "copy")
        key = image_key(match["image"])
        images.append(key)
    return role, images


def _derived(key: str) -> re.Match | None:
    found = ENDING.fullmatch(key) if key.rstrip("0123456789()-_. s").endswith(LAST) else None
    return found or (BEGINNING.fullmatch(key) if key.startswith(FIRST) else None)


def unnumbered(path: str) -> str:
    """A path without its suffix and a number at its end: `c/x_mask` of `c/x_mask_2.png`, `c/x_mask (1).png`."""
    return os.path.join(os.path.dirname(path), NUMBER.sub("", image_key(path)))


@lru_cache(maxsize=4096)
def role_of_folder(below: str) -> str:
    """What the names of folders say of the files in them: "mask", "copy" or ""."""
    names = below.casefold()
    return "mask" if FOLDER.search(names) else "copy" if COPIES_FOLDER.search(names) else ""
