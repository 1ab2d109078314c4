import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from lib.data import shards as shards_module
from lib.data.shards import ShardStream, count_images, list_shards
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError

pytest.importorskip("webdataset")


def write_shard(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def picture(number):
    """A PNG of one colour that tells its number."""
    file = io.BytesIO()
    Image.new("RGB", (10, 8), (number, 2 * number, 7)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six shards of eight images; the label is the image's number."""
    root = tmp_path_factory.mktemp("shards")
    for shard in range(6):
        numbers = range(8 * shard, 8 * shard + 8)
        members = [
            (f"{n:05d}.{ext}", c) for n in numbers for ext, c in (("png", picture(n)), ("cls", f"{n}\n".encode()))
        ]
        write_shard(root / f"train-{shard:02d}.tar", members)
    return root


def labels(stream):
    return [label for _, label in stream]


def of_worker(stream, monkeypatch, rank=0, processes=1, worker=0, workers=1):
    monkeypatch.setattr(shards_module, "process", lambda: (rank, processes))
    monkeypatch.setattr(shards_module, "loader_worker", lambda: (worker, workers))
    return labels(stream)


def test_images_come_with_their_labels(folder):
    for image, label in ShardStream(folder, (5, 6), training=False):
        assert image.shape == (5, 6, 3)
        assert image.dtype == np.uint8
        assert image[0, 0].tolist() == [label, 2 * label, 7]


def test_an_epoch_holds_every_image_once_in_an_order_of_its_own(folder):
    stream = ShardStream(folder, 4, batch_size=4, buffer=10)
    first = labels(stream)
    assert sorted(first) == list(range(48)) != first
    assert labels(stream) == first == labels(ShardStream(folder, 4, batch_size=4, buffer=10))
    stream.set_epoch(1)
    assert sorted(labels(stream)) == sorted(first)
    assert labels(stream) != first != labels(ShardStream(folder, 4, batch_size=4, buffer=10, seed=1))


def test_evaluation_reads_in_order(folder):
    assert labels(ShardStream(folder, 4, training=False)) == list(range(48))


@pytest.mark.parametrize("training", [True, False])
def test_processes_and_workers_share_the_shards(folder, monkeypatch, training):
    stream = ShardStream(folder, 4, batch_size=2, workers=3, training=training)
    parts = [of_worker(stream, monkeypatch, r, 2, w, 3) for r in range(2) for w in range(3)]
    assert [len(part) for part in parts] == [8] * 6
    assert sorted(label for part in parts for label in part) == list(range(48))


def test_in_training_every_worker_has_as_many_whole_batches(folder, monkeypatch):
    """Six shards among four workers: two get two of them and two get one, which begins again."""
    stream = ShardStream(folder, 4, batch_size=5, workers=4)
    parts = [of_worker(stream, monkeypatch, 0, 1, w, 4) for w in range(4)]
    assert [len(part) for part in parts] == [10] * 4  # 48 // (4 · 5) · 5
    assert stream.batches == 8
    assert len(set(parts[3])) == 8


def test_a_loader_gives_whole_batches(folder):
    stream = ShardStream(folder, 4, batch_size=5, workers=2)
    batches = list(stream.loader())
    assert len(batches) == stream.batches == 8
    assert {tuple(images.shape) for images, _ in batches} == {(5, 4, 4, 3)}
    seen = [int(label) for _, part in batches for label in part]
    assert len(set(seen)) == len(seen) == 40
    stream.set_epoch(1)
    assert [int(label) for _, part in stream.loader() for label in part] != seen


def test_the_buffer_is_all_that_is_held(folder, monkeypatch):
    """The first image leaves before more than buffer + 1 have been read."""
    read, reader = [], shards_module.read_shards
    monkeypatch.setattr(shards_module, "read_shards", lambda s: (read.append(1) or sample for sample in reader(s)))
    next(iter(ShardStream(folder, 4, images=48, batch_size=4, buffer=6)))
    assert len(read) == 7


def test_shards_by_pattern_folder_and_list(folder):
    files = sorted(map(str, folder.glob("*.tar")))
    assert list_shards(f"{folder}/train-{{00..05}}.tar") == list_shards(folder) == list_shards(files) == files
    assert list_shards(["https://example.org/train-00.tar"]) == ["https://example.org/train-00.tar"]
    assert count_images(files) == 48


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.png", picture(1))], "no .cls file with its class"),
        ([("a.cls", b"1")], "no image file"),
        ([("a.png", picture(1)), ("a.cls", b"cat")], "holds 'cat', not the number of a class"),
        ([("a.png", b"no image"), ("a.cls", b"1")], r"bad.tar, image 'a': corrupt or truncated image"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, members, message):
    bad = write_shard(tmp_path / "bad.tar", members)
    with pytest.raises(WorkbookFileError, match=message) as error:
        labels(ShardStream([bad], 4, images=1, training=False))
    assert "bad.tar, image 'a'" in str(error.value)


def test_mistakes_are_told_with_their_remedy(folder, tmp_path, monkeypatch):
    with pytest.raises(WorkbookFileError, match="There is no shard '.*train-06.tar'"):
        ShardStream(f"{folder}/train-{{05..06}}.tar", 4)
    with pytest.raises(WorkbookFileError, match="There is no .tar file"):
        ShardStream(tmp_path, 4)
    with pytest.raises(WorkbookValueError, match="not counted over a network: give images=NUMBER"):
        ShardStream(["https://example.org/train-00.tar"], 4)
    with pytest.raises(WorkbookValueError, match="6 shards cannot be dealt to 1 processes with 7 workers"):
        of_worker(ShardStream(folder, 4, batch_size=1, workers=7), monkeypatch, workers=7)
    with pytest.raises(WorkbookValueError, match="48 images are less than one batch of 64"):
        _ = ShardStream(folder, 4).batches
    (tmp_path / "damaged.tar").write_bytes(b"x" * 700)
    with pytest.raises(WorkbookFileError, match=r"damaged.tar is not a whole tar file"):
        ShardStream(tmp_path, 4)
    with pytest.raises(WorkbookFileError, match="A shard cannot be read"):
        labels(ShardStream(tmp_path, 4, images=1, training=False))


def test_without_webdataset_its_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "webdataset", None)
    with pytest.raises(WorkbookError, match=r"pip install -e '.\[shards\]'"):
        ShardStream(folder, 4)
