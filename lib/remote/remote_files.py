"""One file from a host: resumed where a transfer broke, and checked."""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from types import MappingProxyType

from lib.errors import WorkbookError
from lib.progress import Progress
from lib.remote.partial_file import Part

CHUNK = 1 << 20
WEB_PAGE = ("<!doctype html", "<html", "<head")  # how one begins


@dataclass(frozen=True)
class Remote:
    """A file on a host, with the checksums that are known beforehand.

    `sha256` may be the beginning of one, as in the names of PyTorch's files. `patience` is how many seconds the host may be
    silent.
    """

    url: str
    name: str
    md5: str | None = None
    sha256: str | None = None
    patience: float = 60

    @property
    def checksums(self) -> dict[str, str]:
        """{algorithm: hex digits}"""
        known = {"md5": self.md5, "sha256": self.sha256}
        return {algorithm: digits for algorithm, digits in known.items() if digits is not None}


def fetch(remote: Remote, folder: Path) -> Path:
    """Download one file, going on from a partial one if the host still has the same file, and check it.

    Raises:
        WorkbookError: the host cannot be reached, or what arrived is damaged or no such file (it is removed).
    """
    path, part = folder / remote.name, Part(folder / f"{remote.name}.part")
    if not path.exists():
        try:
            _transfer(remote, part)
        except (OSError, HTTPException) as error:
            raise WorkbookError(
                f"Cannot download {remote.url}: {getattr(error, 'reason', error)}. Run the same command again to go on from "
                f"{part.size} bytes, or fetch the file by hand into {folder}."
            ) from error
        _refuse_web_page(remote, part)
        _check(remote, part)
        part.become(path)
    return path


def open_url(
    url: str, headers: Mapping[str, str] = MappingProxyType({}), patience: float = 60
) -> urllib.request.addinfourl:
    """The host's answer to a request for `url`, waited for as many seconds as `patience`.

    Raises:
        WorkbookError: the host cannot be reached. HTTPError: nothing is left to send of the range asked for.
    """
    request = urllib.request.Request(url, headers=dict(headers))
    try:
        return urllib.request.urlopen(request, timeout=patience)
    except (urllib.error.URLError, TimeoutError) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code == 416:
            raise  # nothing is left to send
        raise WorkbookError(
            f"Cannot reach {url}: {getattr(error, 'reason', error)}. Check the network, or fetch the data by hand (data/README.md)."
        ) from error


def _transfer(remote: Remote, part: Part) -> None:
    reply = _answer(remote, part)
    if reply is None:
        return
    with reply:
        start = part.size if reply.status == 206 else 0
        if not start:
            part.begin(reply.headers)
        length = int(reply.headers.get("Content-Length") or 0)
        with (
            open(part.path, "ab") as file,
            Progress(length and start + length, f"downloading {remote.name}", "bytes", start) as bar,
        ):
            while chunk := reply.read(CHUNK):
                file.write(chunk)
                bar.advance(len(chunk))
            file.flush()
            os.fsync(file.fileno())
    if length and part.size != start + length:
        raise ConnectionError(f"the connection broke after {part.size} of {start + length} bytes")


def _answer(remote: Remote, part: Part) -> urllib.request.addinfourl | None:
    """The host's answer: what the part lacks, or the file from its start; None where the part is whole already."""
    is_checked = bool(remote.checksums)
    try:
        reply = open_url(remote.url, part.request(is_checked), remote.patience)
    except urllib.error.HTTPError as error:  # 416: the host has nothing behind the part
        size = error.headers.get("Content-Range")
        if size == f"bytes */{part.size}" or (size is None and is_checked):
            return None
        part.drop()
        return open_url(remote.url, patience=remote.patience)
    if reply.status == 206 and not reply.headers.get("Content-Range", "").startswith(f"bytes {part.size}-"):
        reply.close()
        part.drop()
        return open_url(remote.url, patience=remote.patience)
    return reply


def _refuse_web_page(remote: Remote, part: Part) -> None:
    with open(part.path, "rb") as file:
        beginning = file.read(512).decode("utf-8", "replace").lstrip("\ufeff \t\r\n").casefold()
    if beginning.startswith(WEB_PAGE):
        part.drop()
        raise WorkbookError(
            f"{remote.url} was answered with a web page instead of {remote.name}: a network that wants a login answers so. Log "
            "in with a browser and run the same command again, or fetch the file by hand (data/README.md)."
        )


def _check(remote: Remote, part: Part) -> None:
    """Compare the file with every checksum that is known of it."""
    known = part.told.get("checksums", {}) | remote.checksums
    for algorithm, wanted in known.items():
        with open(part.path, "rb") as file:
            digest = hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()
        if not digest.startswith(wanted):
            part.drop()
            raise WorkbookError(
                f"{remote.name} arrived damaged ({algorithm.upper()} {digest}, should be {wanted}) and was removed; run the "
                "same command again."
            )
