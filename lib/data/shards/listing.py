"""Which shards make a set, what is in them, and what their classes are called; images are not read for it."""

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from lib.data.file_finder import folder
from lib.data.imageset import file_stat, refuse_line_ends
from lib.data.sets.folders import part_of
from lib.data.shards.braces import expand, webdataset
from lib.errors import InputLost, WorkbookFileError
from lib.file_tree import data_in, is_data
from lib.inputs import note
from lib.paths import DATA

META = re.compile(r"__[^/]*__($|/)")  # what webdataset keeps for itself
# How the address of a remote shard may begin. webdataset knows `pipe:` too, and hands what follows to a shell.
SCHEMES = ("http", "https", "ftps", "sftp", "scp", "gs", "htgs", "ais", "hf", "file")


@dataclass(frozen=True)
class Shard:
    """One tar file."""

    url: str  # or a file's path
    images: int
    size: int | None = None  # bytes; None of a remote one

    @property
    def name(self) -> str:
        """What stands behind the last slash: by it `sizes.json` and the part are told."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class ShardSet:
    """A set of images in shards: what `ImageSet` is for images that can be listed one by one."""

    classes: tuple[str, ...]
    parts: dict[str, tuple[Shard, ...]]  # train and val, and test where there is one
    name: str = "shards"

    @property
    def test_part(self) -> str:
        """The part that is tested on: validation where there is no other, as is usual on ImageNet."""
        return "test" if "test" in self.parts else "val"

    @property
    def counts(self) -> pd.Series:
        """Number of images of each part."""
        return pd.Series({part: sum(shard.images for shard in shards) for part, shards in self.parts.items()})

    def fingerprint(self) -> str:
        """Eight hex digits that follow classes, the shards' names, sizes and numbers of images, wherever they lie."""
        parts = {part: [(s.name, s.images, s.size) for s in shards] for part, shards in self.parts.items()}
        return hashlib.sha256(json.dumps([self.classes, parts], sort_keys=True).encode()).hexdigest()[:8]

    def stamp(self) -> str:
        """Eight hex digits that follow the sizes and times of local shards: others after one was replaced, and of a copy."""
        files = (shard.url for shards in self.parts.values() for shard in shards if not is_remote(shard.url))
        stats = [(stat.st_size, stat.st_mtime_ns) for stat in map(file_stat, files)]
        return hashlib.sha256(repr(stats).encode()).hexdigest()[:8]


def load_shards(where: str | Path | None = None) -> ShardSet:
    """The set whose shards `where` names: a folder (None: `data/shards`), or a pattern with braces of files or URLs,
    such as `https://host/{train-{0000..0146},val-{00..06}}.tar`.

    A shard's name tells its part: a word of it is train, val or validation, or test. Beside the shards lies `classes.txt`
    (a name a line, in the order of the labels) or `classes.json` (a list), and there may be `sizes.json` ({name of a shard:
    its number of images}), which remote shards need; local ones without are counted, which reads all their headers.

    Raises:
        WorkbookError: `webdataset` is not installed.
        WorkbookFileError: no shards match, a file is missing, damaged or not as described.
    """
    urls = list_shards(DATA / "shards" if where is None else where)
    sizes = _sizes(urls)
    parts: dict[str, list[Shard]] = {}
    for url in urls:
        name = url.rpartition("/")[2]
        images = sizes[name] if name in sizes else count_images(url)
        size = None if is_remote(url) else Path(url).stat().st_size
        parts.setdefault(_part(name), []).append(Shard(url, images, size))
    for part in ("train", "val"):
        if not sum(shard.images for shard in parts.get(part, [])):
            raise WorkbookFileError(
                f"There is no shard with images of the {part} part in {where}: call it {part}-….tar."
            )
    return ShardSet(_classes(urls), {part: tuple(shards) for part, shards in sorted(parts.items())})


def list_shards(where: str | Path) -> list[str]:
    """The shards' file names or URLs; local ones are whole tar files, as far as their ends tell.

    Raises:
        WorkbookError: `webdataset` is not installed.
        WorkbookFileError: there are none or too many, one is missing or cut off, or is no address.
    """
    if any(sign in str(where) for sign in ("{", "://")) or str(where).endswith(".tar"):
        shards = expand(str(where))
    else:
        shards = [str(path) for path in data_in(folder(Path(where), "tar shards")) if path.suffix.lower() == ".tar"]
        note(where)
    if not shards:
        raise WorkbookFileError(f"There is no .tar file in {str(where)!r}; give the folder that holds the shards.")
    for shard in shards:
        _check_address(shard) if is_remote(shard) else _check_file(Path(shard))
    # webdataset takes a relative name with a colon for an address
    return [shard if is_remote(shard) else os.path.abspath(shard) for shard in shards]


def is_remote(shard: str) -> bool:
    """Whether a shard is an address (`https://…`) rather than a file's path."""
    return "://" in shard


def count_images(shard: str) -> int:
    """Images in a local shard, from its headers, as webdataset itself counts them.

    Raises:
        WorkbookFileError: the shard is remote, no tar file, or holds two files for one.
    """
    if is_remote(shard):
        raise WorkbookFileError(
            f"{shard} is not counted over a network: put sizes.json, {{name of a shard: number of images}}, beside it."
        )
    try:
        with tarfile.open(shard) as archive:
            names = (member.name for member in archive if member.isreg() and is_member(member.name))
            files = ({"fname": name, "data": b"", "__url__": shard} for name in names)
            return sum(1 for _ in webdataset().tariterators.group_by_keys(files))
    except (tarfile.TarError, ValueError) as error:
        raise unreadable(shard, error) from error


def is_member(name: str) -> bool:
    """Whether a tar file's entry of that name is part of an image: nothing that systems leave behind, nor webdataset's."""
    return all(map(is_data, PurePosixPath(name).parts)) and not META.match(name)


def unreadable(shard: str, error: Exception) -> WorkbookFileError:
    """What tarfile, webdataset or the system raises about a shard, told with its remedy."""
    reason = next((text for text in error.args if isinstance(text, str)), type(error).__name__)
    if "duplicate file name" in reason:
        return WorkbookFileError(
            f"The shard {shard} holds two files for one ({reason}): of a name, what stands before its first dot tells the "
            "image, and what follows the kind of file, in small letters. Pack it again under other names."
        )
    return InputLost(f"The shard {shard} cannot be read, it is not a whole tar file ({reason}). Fetch it again.")


def _check_address(shard: str) -> None:
    if shard.partition("://")[0] not in SCHEMES:
        raise WorkbookFileError(
            f"{shard!r} is no address of a shard: it may begin with {'://, '.join(SCHEMES)}://, and no command is run."
        )


def _check_file(shard: Path) -> None:
    """A tar file ends with two blocks of zeros; one that was cut off between two images reads as if it were whole."""
    if not shard.is_file():
        raise WorkbookFileError(f"There is no shard {str(shard)!r}; check the pattern, folder or list of shards.")
    with open(shard, "rb") as file:
        file.seek(max(0, shard.stat().st_size - 1024))
        if file.read() != bytes(1024):
            raise WorkbookFileError(f"{shard} is not a whole tar file: its end is missing. Fetch it again.")


def _part(name: str) -> str:
    """The part that a shard's name tells."""
    words = re.split(r"[^a-z]+", name.casefold())
    parts = {part_of(word) for word in words} - {""}
    if len(parts) != 1:
        raise WorkbookFileError(
            f"The name of the shard {name!r} does not tell its part: call it train-….tar, val-….tar or test-….tar."
        )
    return parts.pop()


def _sizes(urls: Sequence[str]) -> dict[str, int]:
    text = _beside(urls[0], "sizes.json")
    if text is None:
        return {}
    try:
        return {str(name): int(images) for name, images in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise WorkbookFileError(
            f"sizes.json beside {urls[0]} is not {{name of a shard: number of images}} ({error})."
        ) from error


def _classes(urls: Sequence[str]) -> tuple[str, ...]:
    lines, listed = _beside(urls[0], "classes.txt"), _beside(urls[0], "classes.json")
    if lines is None and listed is None:
        raise WorkbookFileError(
            f"There is neither classes.txt nor classes.json beside {urls[0]}: write the name of each class on a line of "
            "classes.txt, in the order of the labels."
        )
    try:
        names = lines.split("\n") if lines is not None else json.loads(listed)
        classes = tuple(name.strip() for name in names if name.strip())
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WorkbookFileError(f"classes.json beside {urls[0]} is not a list of names ({error}).") from error
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise WorkbookFileError(f"The {len(classes)} classes beside {urls[0]} must be two or more, and all different.")
    refuse_line_ends(f"the set of {urls[0]}", classes)
    return classes


def _beside(url: str, name: str) -> str | None:
    """The text of a file in a shard's folder; None where there is none."""
    if not is_remote(url):
        path = Path(url).with_name(name)
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape") if path.is_file() else None
    try:
        with webdataset().gopen(f"{url.rpartition('/')[0]}/{name}") as file:
            return file.read().decode("utf-8-sig")
    except (OSError, ValueError):
        return None
