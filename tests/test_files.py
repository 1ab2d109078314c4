"""Files are whole, on the disk, and told of where there is no room; a killed writer's scratch files are swept."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lib import files
from lib.data.download import download
from lib.disk import scratch
from lib.disk.file_claims import FileClaim
from lib.disk.tensors import save_tensors
from lib.errors import WorkbookError
from lib.files import save_folder, save_whole, write_text
from lib.paths import ROOT

WRITER = """
import sys, time
from pathlib import Path
from lib.files import save_whole
def slowly(path):
    path.write_bytes(bytes(100_000))
    print("begun", flush=True)
    time.sleep(600)
save_whole(Path(sys.argv[1]), slowly)
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of writing `tmp_path / "big"`."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "big")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def next_start(folder: Path) -> None:
    """The next process writes its first file there."""
    scratch._swept.clear()
    write_text(folder / "next", "")


def test_a_killed_writers_scratch_file_is_swept_and_a_living_ones_is_not(writer, tmp_path):
    (left,) = names(tmp_path)
    next_start(tmp_path)
    assert names(tmp_path) == [left, "next"]
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    next_start(tmp_path)
    assert names(tmp_path) == ["next"]


@pytest.mark.parametrize("folder", [True, False], ids=["folder", "file"])
@pytest.mark.parametrize("writer", [".0badcafe-1-100", ""], ids=["another machine's", "an earlier build's"])
def test_of_a_writer_that_cannot_be_asked_only_old_scratch_is_swept(tmp_path, folder, writer):
    old, new, aside = (tmp_path / f".{name}.0123abcd{writer}" for name in ("old", "new", "aside.01"))
    for path in (old, new):
        path.mkdir() if folder else path.touch()
    aside.with_name(".hidden.txt").touch()
    long_ago = time.time() - 2 * scratch.IDLE_S
    os.utime(old, (long_ago, long_ago))
    os.utime(aside.with_name(".hidden.txt"), (long_ago, long_ago))
    next_start(tmp_path)
    assert names(tmp_path) == sorted([".hidden.txt", new.name, "next"])


def test_a_file_is_on_the_disk_before_it_counts_and_its_name_thereafter(tmp_path, monkeypatch):
    done, replace = [], os.replace

    def flushed(descriptor):
        done.append(("flushed", os.readlink(f"/proc/self/fd/{descriptor}")))

    def replaced(source, target):
        done.append(("named", str(source)))
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", flushed)
    monkeypatch.setattr(files.os, "replace", replaced)
    write_text(tmp_path / "a.txt", "whole")
    (first, written), (second, named), (third, folder) = done
    assert (first, second, third) == ("flushed", "named", "flushed")
    assert written == named
    assert folder == str(tmp_path)


def test_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, rename = [], os.rename
    monkeypatch.setattr(files.os, "sync", lambda: done.append("flushed"))
    monkeypatch.setattr(files.os, "rename", lambda *names: (done.append("named"), rename(*names)))
    save_folder(tmp_path / "set", lambda folder: (folder / "a").write_text("1"))
    assert done == ["flushed", "named"]


def test_bytes_of_a_name_that_are_no_utf8_are_written_as_they_are(tmp_path):
    write_text(tmp_path / "a.txt", os.fsdecode(b"gr\xfcn\r"))
    assert (tmp_path / "a.txt").read_bytes() == b"gr\xfcn\r"


def test_tensors_are_written_as_other_files_are(tmp_path, monkeypatch):
    """Readable by whom the umask says, and by way of no scratch file but ours, which is swept."""
    tensors, umask = {"a": torch.arange(5.0)}, os.umask(0o027)
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(files, "remove", lambda path: None)  # as if killed
    try:
        with pytest.raises(KeyboardInterrupt):
            save_tensors(tmp_path / "a.safetensors", tensors)
    finally:
        os.umask(umask)
    (left,) = tmp_path.iterdir()
    assert scratch.NAME.fullmatch(left.name)
    assert left.stat().st_mode & 0o777 == 0o640
    assert torch.equal(load_file(left)["a"], tensors["a"])


def test_a_full_disk_is_one_line_with_what_is_wanted_and_what_is_free(small_disk):
    disk = small_disk(1 << 20)
    write_text(disk / "before", "kept")
    with pytest.raises(
        WorkbookError, match=r"Cannot write .*/a\.txt: No space left on device: 2,000,000 bytes wanted"
    ) as told:
        write_text(disk / "a.txt", "x" * 2_000_000)
    free = int(str(told.value).split(" wanted, ")[1].split(" bytes free")[0].replace(",", ""))
    assert 0.9 * (1 << 20) < free < 1 << 20  # what there was of the new file has gone
    with pytest.raises(WorkbookError, match=r"more than 1,0[0-9,]+ bytes wanted, 1,0[0-9,]+ bytes free"):
        save_whole(disk / "b.txt", lambda path: path.write_bytes(bytes(2_000_000)))
    assert (disk / "before").read_text() == "kept"
    write_text(disk / "a.txt", "x" * 500_000)
    assert names(disk) == ["a.txt", "before"]


def test_a_folder_is_no_file_and_told_before_anything_is_made(tmp_path):
    with pytest.raises(WorkbookError, match="it is a folder. Give the name of a file"):
        save_whole(tmp_path, lambda path: pytest.fail("it was begun"))


def test_a_read_only_folder_has_advice_of_its_own(small_disk):
    disk = small_disk(1 << 20)
    write_text(disk / "before", "kept")
    small_disk.read_only(disk)
    with pytest.raises(
        WorkbookError, match=r"Read-only file system\. Make .* writable .*or choose another folder"
    ) as told:
        write_text(disk / "before", "new")
    assert "Free some space" not in str(told.value)
    new = disk / "new"
    for write in (FileClaim(new / "run").acquire, lambda: download("CIFAR10", new)):
        with pytest.raises(WorkbookError, match=r"Cannot write .*/new: Read-only file system\. Make .* writable"):
            write()
