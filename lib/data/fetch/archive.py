"""Downloaded archives, unpacked: whole or not at all, and nowhere but into their folder."""

import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path

from lib.errors import WorkbookError, WorkbookFileError
from lib.progress import Progress
from lib.remote.remote_files import Remote, fetch


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


def extract(archive: Path, root: Path) -> None:
    """Unpack a zip into `root` through a scratch folder, file by file; members outside `root` and links are refused.

    Raises:
        WorkbookFileError: not a zip, damaged, or unsafe; nothing of it is left in `root`.
    """
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".unpack-", dir=root, ignore_cleanup_errors=True) as scratch,
            zipfile.ZipFile(archive) as packed,
            Progress(len(packed.namelist()), f"unpacking {archive.name}", "files") as bar,
        ):
            for member in packed.infolist():
                _refuse_unsafe(member, Path(scratch), archive)
                packed.extract(member, scratch)  # checks the member's CRC
                bar.advance()
            shutil.copytree(scratch, root, dirs_exist_ok=True, copy_function=os.replace)
    except (zipfile.BadZipFile, EOFError) as error:
        archive.unlink()
        raise WorkbookFileError(
            f"{archive} is damaged ({error}) and was removed; run the same command again."
        ) from error
    except WorkbookError:
        raise  # an OSError, too, that tells more
    except OSError as error:
        raise WorkbookError(
            f"Cannot unpack {archive} into {root}: {error.strerror or error}. Free some space and run the same command again."
        ) from error


def _refuse_unsafe(member: zipfile.ZipInfo, root: Path, archive: Path) -> None:
    target = (root / member.filename).resolve()
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    if is_link or not target.is_relative_to(root.resolve()):
        raise WorkbookFileError(
            f"{archive} holds {member.filename!r}, which points outside its folder; nothing was unpacked. Is it the official archive?"
        )
