"""One file after another from an official host: resumed where a transfer broke, checked, archives unpacked."""

import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path

from lib.data.fetch.archive import extract
from lib.errors import WorkbookError
from lib.progress import Progress

CHUNK = 1 << 20


@dataclass(frozen=True)
class Remote:
    """A file on an official host; `md5` is None where the host tells none."""

    url: str
    name: str
    md5: str | None = None


def fetch_all(files: list[Remote], root: Path) -> None:
    """Fetch `files` into `root` and unpack the archives among them, but for those done before.

    Raises:
        WorkbookError: the host cannot be reached, a file arrives damaged, an archive is unsafe, the disk is full.
    """
    for remote in files:
        done = root / f".{remote.name}.done"
        if done.exists():
            continue
        path = fetch(remote, root)
        if path.suffix == ".zip":
            extract(path, root)
            path.unlink()
        done.touch()


def fetch(remote: Remote, folder: Path) -> Path:
    """Download one file, going on from a partial one, and check it.

    Raises:
        WorkbookError: the host cannot be reached, or what arrived is damaged (it is removed).
    """
    path, part = folder / remote.name, folder / f"{remote.name}.part"
    if not path.exists():
        try:
            _transfer(remote, part)
        except (OSError, HTTPException) as error:
            raise WorkbookError(
                f"Cannot download {remote.url}: {getattr(error, 'reason', error)}. Run the same command again to go on from "
                f"{part.stat().st_size if part.exists() else 0} bytes, or fetch the file by hand into {folder}."
            ) from error
        _check(remote, part)
        os.replace(part, path)
    return path


def open_url(url: str, start: int = 0) -> urllib.request.addinfourl:
    """The host's answer to a request for `url`, from byte `start` on.

    Raises:
        WorkbookError: the host cannot be reached. HTTPError: nothing is left to send after `start`.
    """
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        return urllib.request.urlopen(request, timeout=60)
    except (urllib.error.URLError, TimeoutError) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code == 416:
            raise  # nothing is left to send
        raise WorkbookError(
            f"Cannot reach {url}: {getattr(error, 'reason', error)}. Check the network, or fetch the data by hand (data/README.md)."
        ) from error


def _transfer(remote: Remote, part: Path) -> None:
    start = part.stat().st_size if part.exists() else 0
    try:
        reply = open_url(remote.url, start)
    except urllib.error.HTTPError:  # 416: the partial file is whole already
        return
    with reply:
        resumed = reply.status == 206
        total = int(reply.headers.get("Content-Length") or 0) + (start if resumed else 0)
        with (
            open(part, "ab" if resumed else "wb") as file,
            Progress(total, f"downloading {remote.name}", "bytes", start if resumed else 0) as bar,
        ):
            while chunk := reply.read(CHUNK):
                file.write(chunk)
                bar.advance(len(chunk))
        if total and part.stat().st_size != total:
            raise ConnectionError(f"the connection broke after {part.stat().st_size} of {total} bytes")


def _check(remote: Remote, path: Path) -> None:
    if remote.md5 is None:
        return
    with open(path, "rb") as file:
        md5 = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    if md5 != remote.md5:
        path.unlink()
        raise WorkbookError(
            f"{remote.name} arrived damaged (MD5 {md5}, should be {remote.md5}) and was removed; run the same command again."
        )
