"""A manifest of digests: what the files of a finished folder are, so that damage to any of them is seen.

<folder>/manifest.json    {name: {"bytes": 812, "blake2b": "9f…", "stamp": "…"}}

A digest means reading the file. What the file system says of it (times of its content and of its entry, which no program
can set back) is kept beside, so that a file which nobody has touched since need not be read to know that it is the same; of
a copy the stamp differs, and its digest decides.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lib.files import from_json, write_text

MANIFEST = "manifest.json"
PLAIN = re.compile(r"\w[\w.-]{0,99}")  # of the names in it: what leads elsewhere is read nowhere
Entry = dict[str, str | int]  # of one file


def seal(folder: Path, names: Iterable[str], last: str, text: str) -> None:
    """Write `last`, a file that says by being there that `folder` is finished, after a manifest of it and of those of
    `names` that are there."""
    content = text.encode()
    manifest = {path.name: entry(path) for name in names if (path := folder / name).exists()}
    manifest[last] = {"bytes": len(content), "blake2b": _blake2b(content).hexdigest()}
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1))
    write_text(folder / last, text)


def read_manifest(folder: Path) -> dict[str, Entry] | None:
    """What the files of `folder` are to be, by name; None where there is no manifest, as in folders of earlier builds.

    Raises:
        ValueError: it is damaged.
    """
    try:
        manifest = from_json((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not (isinstance(manifest, dict) and all(isinstance(each, dict) for each in manifest.values())):
        raise ValueError("no file is described in it")
    if strange := [name for name in manifest if not PLAIN.fullmatch(name)]:
        raise ValueError(f"{strange[0][:50]!r} is no file of a folder")
    return manifest


def entry(path: Path) -> Entry:
    """What a file is now."""
    return {"bytes": path.stat().st_size, "blake2b": digest(path), "stamp": _stamp(path)}


def difference(path: Path, then: Entry, trusting: bool = False) -> str | None:
    """What is wrong with a file that was as `then` tells, in words; None where nothing is.

    `trusting` takes a file whose stamp is the same as the same, without reading it.
    """
    if not path.is_file():  # of a pipe or a device there is no end
        return "it is no file" if path.exists() else "it is missing"
    size = path.stat().st_size
    if size != then.get("bytes"):
        had = then.get("bytes")
        return f"it has {size:,} bytes, and had {f'{had:,}' if isinstance(had, int) else repr(had):.20} when it was written"
    if trusting and untouched(path, then):
        return None
    return None if digest(path) == then.get("blake2b") else "its content is not what was written"


def untouched(path: Path, then: Entry) -> bool:
    """Whether the file system says that nobody has changed a file since it was as `then` tells."""
    return _stamp(path) == then.get("stamp")


def digest(path: Path) -> str:
    """Of a file's content: BLAKE2b of 16 bytes, as 32 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, _blake2b).hexdigest()


def _blake2b(content: bytes = b"") -> Any:
    return hashlib.blake2b(content, digest_size=16)


def _stamp(path: Path) -> str:
    """What the file system says of a file: others after any change, and of a copy."""
    stat = path.stat()
    return f"{stat.st_mtime_ns}-{stat.st_ctime_ns}"
