"""Data sets that torchvision downloads: STL10, CIFAR, Caltech101, Caltech256, Oxford-IIIT Pet and FGVC Aircraft.

torchvision knows their addresses and MD5 sums (of FGVC Aircraft the address only) and unpacks straight into its
folder, where half a set would pass for a whole one. So it works in a scratch folder below the data root, and what it
unpacked is moved into place when whole. After an interruption a finished archive is not fetched again; a broken one
is, from its beginning.
"""

import gzip
import os
import shutil
import socket
import ssl
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

from lib.data.sets.array_sets import FOLDERS, torchvision_reader
from lib.errors import WorkbookError

UNPACKED = {  # what each set's class of torchvision unpacks below its root
    **FOLDERS,
    "Caltech101": "caltech101",
    "Caltech256": "caltech256",
    "oxford-iiit-pet": "oxford-iiit-pet",
    "FGVCAircraft": "fgvc-aircraft-2013b",
}
ARCHIVES = (".zip", ".tar", ".gz")
UNREACHABLE = (URLError, HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
DAMAGED = (RuntimeError, tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError)
SECONDS = 60  # without an answer: torchvision alone would wait for ever


def fetch_with_torchvision(name: str, root: Path) -> None:
    """Download and unpack one of UNPACKED into the folder `root`, unless it is there already.

    Raises:
        WorkbookError: the host cannot be reached, an archive arrived damaged (it is removed), the disk is full.
    """
    target, scratch = root / UNPACKED[name], root / ".download"
    if target.is_dir():
        return
    try:
        _drop_unpacked(scratch, UNPACKED[name])
        with _timeout(SECONDS):
            _torchvision_class(name)(scratch, download=True)
        os.rename(scratch / UNPACKED[name], target)
        for path in target.glob("*"):
            if path.suffix in ARCHIVES:
                path.unlink()
        shutil.rmtree(scratch)
    except DAMAGED as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise WorkbookError(f"{name} arrived damaged ({error}) and was removed; run the same command again.") from error
    except UNREACHABLE as error:
        raise WorkbookError(
            f"Cannot download {name}: {getattr(error, 'reason', error)}. Check the network and run the same command "
            "again, or fetch the data by hand (data/README.md)."
        ) from error
    except OSError as error:
        raise WorkbookError(
            f"Cannot unpack {name} into {root}: {error.strerror or error}. Free some space and run the same command again."
        ) from error


def _torchvision_class(name: str) -> type:
    from torchvision import datasets  # slow to import

    if name in FOLDERS:
        return torchvision_reader(name)
    return getattr(datasets, {"oxford-iiit-pet": "OxfordIIITPet"}.get(name, name))


def _drop_unpacked(scratch: Path, name: str) -> None:
    """Remove what an interrupted run has begun to unpack: torchvision takes a folder that exists for a whole one."""
    for path in (*scratch.glob("*"), *scratch.glob(f"{name}/*")):
        if path.is_dir() and path.name != name:
            shutil.rmtree(path)
    target = scratch / name
    if target.is_dir() and not any(path.suffix in ARCHIVES for path in target.iterdir()):
        shutil.rmtree(target)


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
