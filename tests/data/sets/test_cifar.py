"""CIFAR-10 and -100, from small arrays whose MD5 sums torchvision is told."""

import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from lib.data import DATASETS, load_dataset, split_rows
from lib.data.augmentation import AUGMENTATIONS
from lib.data.download import download
from lib.data.sets.array_sets import FOLDERS
from lib.errors import WorkbookError, WorkbookFileError

CLASSES = ("apple", "aquarium_fish", "baby")
FILES = {
    "CIFAR10": (datasets.CIFAR10, ["data_batch_1", "data_batch_2"], ["test_batch"], "batches.meta", "label_names"),
    "CIFAR100": (datasets.CIFAR100, ["train"], ["test"], "meta", "fine_label_names"),
}


def contents(name):
    """What the files of a set hold: twelve pictures each."""
    _, train, test, meta, key = FILES[name]
    rng = np.random.default_rng(0)
    labels = "labels" if name == "CIFAR10" else "fine_labels"
    batches = {
        file: {"data": rng.integers(0, 256, (12, 3072), dtype=np.uint8), labels: 4 * [2, 0, 1]} for file in train + test
    }
    return {file: pickle.dumps(content) for file, content in {**batches, meta: {key: list(CLASSES)}}.items()}


def official(name, files, monkeypatch):
    """Tell torchvision that these are the official files."""
    cls, train, test, meta, key = FILES[name]
    sums = {file: hashlib.md5(content, usedforsecurity=False).hexdigest() for file, content in files.items()}
    monkeypatch.setattr(cls, "train_list", [[file, sums[file]] for file in train])
    monkeypatch.setattr(cls, "test_list", [[file, sums[file]] for file in test])
    monkeypatch.setattr(cls, "meta", {"filename": meta, "key": key, "md5": sums[meta]})


@pytest.fixture(params=FILES)
def cifar(request, tmp_path, monkeypatch):
    """(name, folder of the arrays)"""
    name = request.param
    base = tmp_path / FOLDERS[name]
    base.mkdir()
    files = contents(name)
    for file, content in files.items():
        (base / file).write_bytes(content)
    official(name, files, monkeypatch)
    return name, base


def test_it_is_registered_for_photographs(cifar):
    entry = DATASETS[cifar[0]]
    assert (entry.augmentation, entry.quick_size, entry.built_in) == ("natural", 32, False)
    assert entry.augmentation in AUGMENTATIONS


def test_pictures_are_written_once_and_are_those_that_torchvision_reads(cifar):
    name, base = cifar
    images = load_dataset(name, base.parent)
    assert images.classes == CLASSES
    assert images.rows["image_id"].is_unique
    cls, train, *_ = FILES[name]
    parts = images.rows["part"].value_counts().to_dict()
    assert parts == {"train": 12 * len(train), "test": 12}
    for part in ("train", "test"):
        reader = cls(base.parent, train=part == "train")
        for (expected, label), row in zip(reader, images.rows[images.rows["part"] == part].itertuples(), strict=True):
            assert np.array_equal(np.asarray(Image.open(row.path)), np.asarray(expected))
            assert row.label == label
            assert f"/{CLASSES[label]}/" in row.path
    written = {p: p.stat().st_mtime_ns for p in base.rglob("*.png")}
    for file in [p for p in base.iterdir() if p.is_file()]:
        file.unlink()  # the arrays are not needed any more
    assert load_dataset(name, base).rows["image_id"].equals(images.rows["image_id"])
    assert written == {p: p.stat().st_mtime_ns for p in base.rglob("*.png")}


def test_the_official_split_holds_out_a_validation_part(cifar):
    name, base = cifar
    images = load_dataset(name, base.parent)
    parts = split_rows(images, "official", val_fraction=0.3)
    assert set(parts) == {"train", "val", "test"}
    assert ((parts == "test") == (images.rows["part"] == "test")).all()


def test_missing_and_damaged_files_are_told_apart(cifar):
    name, base = cifar
    meta = base / FILES[name][3]
    meta.write_bytes(b"half")
    with pytest.raises(WorkbookFileError, match=rf"MD5 sums differ.*lib.data.download {name}"):
        load_dataset(name, base)
    meta.unlink()
    with pytest.raises(WorkbookFileError, match=f"lacks {meta.name}"):
        load_dataset(name, base)
    assert not list(base.rglob("*.png"))


def test_a_root_without_the_set_says_how_to_get_it(cifar, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(WorkbookFileError, match=f"is no {cifar[0]} data set.*lib.data.download {cifar[0]}"):
        load_dataset(cifar[0], tmp_path / "other")


@pytest.mark.parametrize("name", FILES)
def test_it_is_fetched_unpacked_and_loaded_and_a_damaged_archive_removed(name, host, tmp_path, monkeypatch):
    files = contents(name)
    official(name, files, monkeypatch)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{FOLDERS[name]}/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    cls, whole = FILES[name][0], buffer.getvalue()
    monkeypatch.setattr(cls, "url", f"{host.url}/{cls.filename}")
    monkeypatch.setattr(cls, "tgz_md5", hashlib.md5(whole, usedforsecurity=False).hexdigest())
    host.files[cls.filename] = whole[:-20]
    with pytest.raises(WorkbookError, match=f"{name} arrived damaged"):
        download(name, tmp_path / "set")
    assert list((tmp_path / "set").iterdir()) == []
    host.files[cls.filename] = whole
    root = download(name, tmp_path / "set")
    assert [path.name for path in root.iterdir()] == [FOLDERS[name]]
    assert len(load_dataset(name, root).rows) == 12 * (len(files) - 1)
