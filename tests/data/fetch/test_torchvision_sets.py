"""Sets that torchvision downloads, from a server on this machine: whole or absent, and clear when something fails."""

import hashlib
import io
import socket
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import STL10, FGVCAircraft, OxfordIIITPet, caltech

from lib.data import download as module
from lib.data import load_dataset
from lib.data.download import download
from lib.data.fetch import torchvision_sets
from lib.errors import WorkbookError, run_command


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def tarred(files, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def jpeg():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "green").save(buffer, "JPEG")
    return buffer.getvalue()


def stl_archives(host, monkeypatch):
    arrays = {}
    for part in ("train", "test"):
        arrays[f"{part}_X.bin"] = np.zeros((10, 3, 96, 96), np.uint8).tobytes()
        arrays[f"{part}_y.bin"] = np.arange(1, 11, dtype=np.uint8).tobytes()
    arrays["unlabeled_X.bin"] = b""
    host.files["stl.tar.gz"] = tarred({f"stl10_binary/{name}": content for name, content in arrays.items()})
    sums = {part: [[n, md5(c)] for n, c in arrays.items() if n.startswith(part)] for part in ("train", "test")}
    monkeypatch.setattr(STL10, "url", f"{host.url}/stl.tar.gz")
    monkeypatch.setattr(STL10, "tgz_md5", md5(host.files["stl.tar.gz"]))
    monkeypatch.setattr(STL10, "train_list", [*sums["train"], ["unlabeled_X.bin", "not looked at"]])
    monkeypatch.setattr(STL10, "test_list", sums["test"])


def pets_archives(host, monkeypatch):
    lines = [f"{breed}_{i} {number} 1 1\n" for number, breed in ((1, "Abyssinian"), (2, "beagle")) for i in range(4)]
    text = "".join(lines).encode()
    lists = {f"annotations/{name}.txt": text for name in ("list", "trainval", "test")}
    host.files["images.tar.gz"] = tarred({f"images/{line.split()[0]}.jpg": jpeg() for line in lines})
    host.files["annotations.tar.gz"] = tarred(lists)
    files = [(f"{host.url}/{name}.tar.gz", md5(host.files[f"{name}.tar.gz"])) for name in ("images", "annotations")]
    monkeypatch.setattr(OxfordIIITPet, "_RESOURCES", files)


def redirect_caltech(host, monkeypatch, sums):
    """Caltech's addresses stand within torchvision's methods: swap them where they are used."""
    official = caltech.download_and_extract_archive

    def local(url, download_root, filename, md5):
        official(f"{host.url}/{filename}", download_root, filename=filename, md5=sums[filename])

    monkeypatch.setattr(caltech, "download_and_extract_archive", local)


def caltech101_archives(host, monkeypatch):
    folders = ("ant", "BACKGROUND_Google", "yin_yang")
    inner = tarred({f"101_ObjectCategories/{name}/image_0001.jpg": jpeg() for name in folders})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("caltech-101/101_ObjectCategories.tar.gz", inner)
    host.files["caltech-101.zip"] = buffer.getvalue()
    redirect_caltech(host, monkeypatch, {"caltech-101.zip": md5(buffer.getvalue())})


def caltech256_archives(host, monkeypatch):
    names = ("001.ak47/001_0001", "002.american-flag/002_0001", "257.clutter/257_0001")
    content = tarred({f"256_ObjectCategories/{name}.jpg": jpeg() for name in names}, "w")
    host.files["256_ObjectCategories.tar"] = content
    redirect_caltech(host, monkeypatch, {"256_ObjectCategories.tar": md5(content)})


def aircraft_archives(host, monkeypatch):
    lines = [f"{i:07d} {('707-320', 'F/A-18')[i % 2]}\n" for i in range(8)]
    lists = {"variants": "707-320\nF/A-18\n", "trainval": "".join(lines[:4]), "test": "".join(lines[4:])}
    names = {name: name if name == "variants" else f"images_variant_{name}" for name in lists}
    files = {f"data/{names[name]}.txt": text.encode() for name, text in lists.items()}
    files |= {f"data/images/{line.split()[0]}.jpg": jpeg() for line in lines}
    content = tarred({f"fgvc-aircraft-2013b/{name}": each for name, each in files.items()})
    host.files["fgvc-aircraft-2013b.tar.gz"] = content
    monkeypatch.setattr(FGVCAircraft, "_URL", f"{host.url}/fgvc-aircraft-2013b.tar.gz")


ARCHIVES = {
    "STL10": (stl_archives, 20),
    "Caltech101": (caltech101_archives, 2),
    "Caltech256": (caltech256_archives, 2),
    "oxford-iiit-pet": (pets_archives, 8),
    "FGVCAircraft": (aircraft_archives, 8),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_set_is_fetched_unpacked_and_loaded(name, host, tmp_path, monkeypatch):
    archives, images = ARCHIVES[name]
    archives(host, monkeypatch)
    root = download(name, tmp_path / "set")
    assert [path.name for path in root.iterdir()] == [torchvision_sets.UNPACKED[name]]
    assert not [path for path in root.rglob("*") if path.suffix in (".gz", ".tar", ".zip")]
    assert len(load_dataset(name, root).rows) == images
    asked = len(host.ranges)
    download(name, root)
    assert len(host.ranges) == asked  # what is there is not fetched again


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_damaged_archive_is_removed(name, host, tmp_path, monkeypatch):
    ARCHIVES[name][0](host, monkeypatch)
    host.files = {path: content[: len(content) // 2] for path, content in host.files.items()}
    with pytest.raises(WorkbookError, match=rf"{name} arrived damaged .*was removed; run the same command again"):
        download(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "text"])
def test_an_archive_that_cannot_be_unpacked_is_removed(damage, host, tmp_path, monkeypatch):
    pets_archives(host, monkeypatch)
    whole = host.files["annotations.tar.gz"]
    host.files["annotations.tar.gz"] = {"truncated": whole[:60], "text": b"no archive"}[damage]
    broken = (OxfordIIITPet._RESOURCES[1][0], md5(host.files["annotations.tar.gz"]))
    monkeypatch.setattr(OxfordIIITPet, "_RESOURCES", [OxfordIIITPet._RESOURCES[0], broken])
    with pytest.raises(WorkbookError, match="oxford-iiit-pet arrived damaged"):
        download("oxford-iiit-pet", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_one_line_with_the_remedy(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(STL10, "url", "http://127.0.0.1:9/stl10_binary.tar.gz")
    with pytest.raises(SystemExit) as stop:
        run_command(lambda: module.main(["STL10", "--data-root", str(tmp_path)]))
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: Cannot download STL10: ")
    assert "data/README.md" in said
    assert said.count("\n") == 1


def test_a_host_that_never_answers_is_not_waited_for(tmp_path, monkeypatch):
    before = socket.getdefaulttimeout()
    monkeypatch.setattr(torchvision_sets, "SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(STL10, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/stl10_binary.tar.gz")
        with pytest.raises(WorkbookError, match="Cannot download STL10: .*timed out"):
            download("STL10", tmp_path)
    assert socket.getdefaulttimeout() == before


def test_a_host_that_lost_the_file_is_told(host, tmp_path, monkeypatch):
    monkeypatch.setattr(STL10, "url", f"{host.url}/gone.tar.gz")
    with pytest.raises(WorkbookError, match=r"Cannot download STL10: .*by hand"):
        download("STL10", tmp_path)


def test_a_full_disk_is_told(host, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    caltech256_archives(host, monkeypatch)
    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    with pytest.raises(WorkbookError, match=r"Cannot unpack Caltech256 .*No space left on device"):
        download("Caltech256", tmp_path)
    assert not (tmp_path / "caltech256").exists()


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_interrupted_unpacking_does_not_pass_for_a_whole_set(name, host, tmp_path, monkeypatch):
    ARCHIVES[name][0](host, monkeypatch)
    whole = tarfile.TarFile.extractall
    opened = []

    def killed(archive, path, *args, **options):
        opened.append(archive.name)
        archive.extract(archive.getmembers()[0], path)
        if len(opened) == len(host.files):  # in the last archive
            raise KeyboardInterrupt
        whole(archive, path, *args, **options)

    monkeypatch.setattr(tarfile.TarFile, "extractall", killed)
    with pytest.raises(KeyboardInterrupt):
        download(name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".download"]
    monkeypatch.setattr(tarfile.TarFile, "extractall", whole)
    host.files = dict.fromkeys(host.files, b"no longer served")  # the archives are there already
    download(name, tmp_path)
    assert len(load_dataset(name, tmp_path).rows) == ARCHIVES[name][1]
    assert [path.name for path in tmp_path.iterdir()] == [torchvision_sets.UNPACKED[name]]
