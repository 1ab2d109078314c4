import http.server
import io
import json
import shutil
import tarfile
import threading
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib.data import ImageSet, load_dataset
from lib.data.shards import Shard, ShardStream, braces, load_shards, stream, write_shards
from lib.data.shards.__main__ import main
from lib.data.shards.listing import count_images, list_shards
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


def members(numbers):
    return [(f"{n:05d}.{ext}", c) for n in numbers for ext, c in (("png", picture(n)), ("cls", f"{n}\n".encode()))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six training shards of eight images and one for validation; the label is the image's number."""
    root = tmp_path_factory.mktemp("shards")
    for shard in range(6):
        write_shard(root / f"train-{shard:02d}.tar", members(range(8 * shard, 8 * shard + 8)))
    write_shard(root / "val-00.tar", members(range(48, 60)))
    (root / "classes.txt").write_text("".join(f"kind {n}\n" for n in range(60)))
    return root


@pytest.fixture(scope="module")
def shards(folder):
    return load_shards(folder).parts["train"]


def make(shards, **settings):
    return ShardStream(shards, 60, **{"size": 4, "batch_size": 4, **settings})


def labels(samples):
    return [label for _, label, _ in samples]


def of_worker(shards, monkeypatch, worker, workers, **settings):
    monkeypatch.setattr(stream, "loader_worker", lambda: (worker, workers))
    return labels(make(shards, workers=workers, **settings))


def test_images_come_with_labels_and_names(shards):
    for image, label, name in make(shards, size=(5, 6), training=False):
        assert image.shape == (5, 6, 3)
        assert image.dtype == np.uint8
        assert image[0, 0].tolist() == [label, 2 * label, 7]
        assert name == f"train-{label // 8:02d}/{label:05d}"


def test_an_epoch_holds_every_image_once_in_an_order_of_its_own(shards, monkeypatch):
    monkeypatch.setattr(stream, "BUFFER", 10)
    each = make(shards)
    first = labels(each)
    assert sorted(first) == list(range(48)) != first
    assert labels(each) == first == labels(make(shards))
    each.set_epoch(1)
    assert sorted(labels(each)) == sorted(first)
    assert labels(each) != first != labels(make(shards, seed=1))


def test_evaluation_reads_in_order(shards):
    assert labels(make(shards, training=False)) == list(range(48))


@pytest.mark.parametrize("training", [True, False])
def test_processes_and_workers_share_the_shards(shards, monkeypatch, training):
    settings = {"batch_size": 2, "training": training, "processes": 2}
    parts = [of_worker(shards, monkeypatch, w, 3, rank=r, **settings) for r in range(2) for w in range(3)]
    assert [len(part) for part in parts] == [8] * 6
    assert sorted(label for part in parts for label in part) == list(range(48))


def test_in_training_every_worker_has_as_many_whole_batches(shards, monkeypatch):
    """Six shards among four workers: two get two of them and two get one, which begins again."""
    parts = [of_worker(shards, monkeypatch, w, 4, batch_size=5) for w in range(4)]
    assert [len(part) for part in parts] == [10] * 4  # 48 // (4 · 5) · 5
    assert make(shards, workers=4, batch_size=5).batches == 8
    assert len(set(parts[3])) == 8


def test_a_loader_gives_whole_batches(shards):
    each = make(shards, batch_size=5, workers=2)
    batches = list(each.loader())
    assert len(batches) == len(each.loader()) == 8
    assert {tuple(images.shape) for images, _, _ in batches} == {(5, 4, 4, 3)}
    seen = [int(label) for _, part, _ in batches for label in part]
    assert len(set(seen)) == len(seen) == 40
    each.set_epoch(1)
    assert [int(label) for _, part, _ in each.loader() for label in part] != seen


def test_the_length_of_an_evaluation_is_known(shards):
    for workers in (1, 4):
        loader = make(shards, training=False, batch_size=5, workers=workers).loader()
        assert len(list(loader)) == len(loader) == {1: 10, 4: 4 + 4 + 2 + 2}[workers]


def test_the_buffer_is_all_that_is_held(shards, monkeypatch):
    """The first image leaves before more than buffer + 1 have been read."""
    read, reader = [], stream.read_shards
    monkeypatch.setattr(stream, "BUFFER", 6)
    monkeypatch.setattr(stream, "read_shards", lambda s: (read.append(1) or sample for sample in reader(s)))
    next(iter(make(shards)))
    assert len(read) == 7


def test_what_makes_a_set(folder, tmp_path):
    found = load_shards(folder)
    assert found.counts.to_dict() == {"train": 48, "val": 12}
    assert found.test_part == "val"
    assert found.classes[:2] == ("kind 0", "kind 1")
    assert found == load_shards(f"{folder}/{{train-{{00..05}},val-00}}.tar")
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert load_shards(copy).fingerprint() == found.fingerprint()
    (copy / "val-00.tar").rename(copy / "set.validation.1.tar")
    (copy / "classes.txt").unlink()
    (copy / "classes.json").write_text(json.dumps(list(found.classes)))
    (copy / "sizes.json").write_text(json.dumps({"set.validation.1.tar": 11}))
    assert load_shards(copy).counts.to_dict() == {"train": 48, "val": 11}
    assert load_shards(copy).fingerprint() != found.fingerprint()


@pytest.fixture
def server(folder, tmp_path):
    """The shards behind a URL."""
    shutil.copytree(folder, tmp_path / "www")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "www")
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", tmp_path / "www"
        server.shutdown()


@pytest.mark.skipif(shutil.which("curl") is None, reason="webdataset reads URLs with curl")
def test_shards_behind_a_url(server):
    url, www = server
    pattern = url + "/{train-{00..05},val-00}.tar"
    with pytest.raises(WorkbookFileError, match=r"not counted over a network: put sizes.json"):
        load_shards(pattern)
    sizes = {f"train-{n:02d}.tar": 8 for n in range(6)} | {"val-00.tar": 12}
    (www / "sizes.json").write_text(json.dumps(sizes))
    found = load_shards(pattern)
    assert found.parts["val"] == (Shard(f"{url}/val-00.tar", 12, None),)
    assert labels(make(found.parts["train"], training=False)) == list(range(48))
    (www / "train-02.tar").write_bytes((www / "train-02.tar").read_bytes()[: 512 * 9])
    with pytest.raises(WorkbookFileError, match=r"The shard http.*train-02.tar"):
        labels(make(found.parts["train"], training=False))
    with pytest.raises(WorkbookFileError, match=r"The shard http.*train-77.tar"):
        labels(make([Shard(f"{url}/train-77.tar", 8)], training=False))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([("a.png", picture(1))], "no .cls file with its class"),
        ([("a.cls", b"1")], "no image file"),
        ([("a.png", picture(1)), ("a.cls", b"cat")], "holds 'cat', not the number of a class"),
        ([("a.png", picture(1)), ("a.cls", b"60")], "holds 60, but the 60 classes .* numbered from 0 to 59"),
        ([("a.png", b"no image"), ("a.cls", b"1")], r"bad.tar, image 'a': corrupt or truncated image"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, content, message):
    bad = Shard(str(write_shard(tmp_path / "bad.tar", content)), 1)
    with pytest.raises(WorkbookFileError, match=message) as error:
        labels(make([bad], training=False))
    assert "bad.tar, image 'a'" in str(error.value)
    with pytest.raises(WorkbookFileError, match=f"^[^\n]*{message}[^\n]*$"):  # from a worker's process, too: one line
        list(make([bad], training=False).loader())


def test_unreadable_images_are_left_out_if_that_is_asked_for(tmp_path, caplog):
    broken = [(name, b"broken" if name in ("00002.png", "00005.png") else c) for name, c in members(range(8))]
    shard = Shard(str(write_shard(tmp_path / "train-0.tar", broken)), 8)
    with pytest.raises(WorkbookFileError, match=r"image '0000[25]'.*go on without them with --skip-unreadable"):
        labels(make([shard]))
    readable = {0, 1, 3, 4, 6, 7}
    assert labels(make([shard], training=False, skip_unreadable=True)) == sorted(readable)
    assert "left out" in caplog.text
    trained = labels(make([shard], skip_unreadable=True))
    assert len(trained) == 8  # others stand in: every process has its number of batches
    assert set(trained) == readable
    none = Shard(str(write_shard(tmp_path / "train-1.tar", [("a.png", b"x"), ("a.cls", b"1")])), 1)
    with pytest.raises(WorkbookFileError, match="More than half of the images cannot be read"):
        labels(make([none], batch_size=1, skip_unreadable=True))


@pytest.mark.parametrize("kept", [512 * 9, 512 * 8 + 100, 512 * 8])
def test_a_shard_that_was_cut_off_is_named(folder, tmp_path, kept):
    """In the middle of an image or between two, before training; and while it is read, should it happen later."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    found = load_shards(copy)
    (copy / "train-03.tar").write_bytes((copy / "train-03.tar").read_bytes()[:kept])
    with pytest.raises(WorkbookFileError, match=r"train-03.tar is not a whole tar file"):
        load_shards(copy)
    with pytest.raises(WorkbookFileError, match=r"The shard .*train-03.tar (cannot be read|ends after \d of 8 images)"):
        labels(make(found.parts["train"], training=False))


def test_mistakes_are_told_with_their_remedy(folder, shards, tmp_path):
    with pytest.raises(WorkbookFileError, match="There is no shard '.*train-06.tar'"):
        list_shards(f"{folder}/train-{{05..06}}.tar")
    with pytest.raises(WorkbookFileError, match="There is no .tar file"):
        load_shards(tmp_path)
    with pytest.raises(WorkbookFileError, match="does not exist"):
        load_shards(tmp_path / "nowhere")
    with pytest.raises(WorkbookValueError, match="6 shards cannot be dealt to 1 processes with 7 loader workers"):
        make(shards, batch_size=1, workers=7)
    with pytest.raises(WorkbookValueError, match="6 shards cannot be dealt to 7 processes"):
        make(shards, training=False, processes=7)
    with pytest.raises(WorkbookValueError, match="48 images are less than one batch of 64"):
        make(shards, batch_size=64)
    with pytest.raises(WorkbookFileError, match=r"not a whole tar file"):
        count_images(str(folder / "classes.txt"))
    with pytest.raises(WorkbookValueError, match="have no list of images: train on them with python -m lib.train"):
        load_dataset("shards", folder)


@pytest.mark.parametrize(
    "names",
    [
        ("._a.png", "a.png", "._a.cls", "a.cls"),
        ("__MACOSX/._a.png", "set/a.png", "__MACOSX/set/._a.cls", "set/a.cls"),
        ("set/._a.png", "set/a.png", "set/._a.cls", "set/a.cls", "set/.DS_Store"),
        ("./a.PNG", "./a.CLS"),
        ("a.v2.png", "a.v2.cls"),
        ("part.1/a.Png", "part.1/a.cls", "__meta__/x.png", "readme", "Thumbs.db"),
    ],
)
def test_entries_are_counted_as_they_are_read(tmp_path, names):
    content = [(name, picture(3) if name.lower().endswith("png") else b"1") for name in names]
    shard = write_shard(tmp_path / "train-0.tar", content)
    assert count_images(str(shard)) == 1
    assert labels(make([Shard(str(shard), 1)], training=False)) == [1]


def test_two_images_whose_names_differ_behind_a_dot_are_told(tmp_path):
    content = [(f"a.{n}.{kind}", picture(n)) for n in (1, 2) for kind in ("png", "cls")]
    shard = Shard(str(write_shard(tmp_path / "one.tar", content)), 1)
    assert count_images(shard.url) == 1
    with pytest.raises(WorkbookFileError, match=r"image 'a' has 2 image files; .* a key ends at its first dot"):
        labels(make([shard], training=False))
    shard = Shard(str(write_shard(tmp_path / "two.tar", [("a.png", b""), ("a.PNG", b""), ("a.cls", b"1")])), 1)
    for look in (lambda: count_images(shard.url), lambda: labels(make([shard], training=False))):
        with pytest.raises(
            WorkbookFileError, match=r"two.tar holds two files for one \(a.PNG: duplicate .* other names"
        ):
            look()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "classes.txt").unlink(), "neither classes.txt nor classes.json beside"),
        (lambda root: (root / "classes.txt").write_text("a\nb\na\n"), "must be two or more, and all different"),
        (lambda root: (root / "sizes.json").write_text("[3]"), "sizes.json beside .* is not"),
        (lambda root: (root / "val-00.tar").unlink(), "no shard with images of the val part"),
        (lambda root: (root / "val-00.tar").rename(root / "00.tar"), "'00.tar' does not tell its part"),
        (lambda root: (root / "val-00.tar").rename(root / "train-val.tar"), "does not tell its part"),
    ],
)
def test_an_incomplete_set_is_told(folder, tmp_path, change, message):
    copy = shutil.copytree(folder, tmp_path / "copy")
    change(copy)
    with pytest.raises(WorkbookFileError, match=message):
        load_shards(copy)


def test_without_webdataset_its_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "webdataset", None)
    with pytest.raises(WorkbookError, match=r"pip install -e '.\[shards\]'"):
        load_shards(folder)


def write_class_folders(root, classes=("cat", "dog"), images=12):
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(images):
            (root / name / f"a.{number}.PNG").write_bytes(picture(label * images + number))
    return root


def test_class_folders_are_packed(tmp_path, capsys):
    source = write_class_folders(tmp_path / "images")
    line = f"{source} {tmp_path / 'out'} --images-per-shard 4 --val-fraction 0.25 --test-fraction 0.25"
    assert main(line.split()) == 0
    assert "7 shards of 2 classes" in capsys.readouterr().out
    found = load_shards(tmp_path / "out")
    assert found.counts.to_dict() == {"train": 12, "val": 6, "test": 6}
    assert found.test_part == "test"
    assert found.classes == ("cat", "dog")
    assert [shard.images for shard in found.parts["val"]] == [3, 3]
    seen = {}
    for part, own in found.parts.items():
        for image, label, _ in ShardStream(own, 2, 4, training=False):
            assert (image[0, 0, 0] >= 12) == label
            seen.setdefault(int(image[0, 0, 0]), part)
    assert len(seen) == 24  # every image once
    assert main([str(source), str(tmp_path / "again"), *line.split()[2:]]) == 0
    for shard in (tmp_path / "out").iterdir():
        assert (tmp_path / "again" / shard.name).read_bytes() == shard.read_bytes()
    with pytest.raises(WorkbookFileError, match="exists already"):
        main(line.split())


def test_a_folder_with_parts_keeps_them(tmp_path):
    for part, images in (("train", 8), ("validation", 4)):
        write_class_folders(tmp_path / "images" / part, images=images)
    assert main([str(tmp_path / "images"), str(tmp_path / "out")]) == 0
    assert load_shards(tmp_path / "out").counts.to_dict() == {"train": 16, "val": 8}
    (tmp_path / "images" / "validation").rename(tmp_path / "images" / "test")
    assert main([str(tmp_path / "images"), str(tmp_path / "held"), "--val-fraction", "0.25"]) == 0
    assert load_shards(tmp_path / "held").counts.to_dict() == {"test": 8, "train": 12, "val": 4}
    (tmp_path / "images" / "test" / "cat").rename(tmp_path / "images" / "test" / "cow")
    with pytest.raises(WorkbookFileError, match="differ in class folders: cat, cow"):
        main([str(tmp_path / "images"), str(tmp_path / "other")])


def test_training_images_are_mixed_and_a_seed_of_none_leaves_them(tmp_path):
    images = load_dataset("imagefolder", write_class_folders(tmp_path / "images"))
    parts = images.rows["image_id"].map(lambda name: "val" if name.endswith(".11.PNG") else "train")
    for seed, mixed in ((0, True), (None, False)):
        write_shards(images, parts, tmp_path / str(seed), seed=seed)
        found = load_shards(tmp_path / str(seed))
        order = labels(ShardStream(found.parts["train"], 2, 4, training=False))
        assert (order != sorted(order)) == mixed


def test_a_sets_banner_is_in_no_shard(tmp_path):
    """A stream decodes files as they are, so that a network would be shown what `load_pixels` cuts off."""
    rows = []
    for number in range(4):
        pixels = np.full((12, 10, 3), 40 * number, np.uint8)
        pixels[-4:] = 255  # the banner
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append((str(number), str(tmp_path / f"{number}.png"), number % 2))
    images = ImageSet("marked", ("a", "b"), pd.DataFrame(rows, columns=["image_id", "path", "label"]), banner=4)
    write_shards(images, pd.Series(["train", "train", "val", "test"]), tmp_path / "shards")
    for part, numbers in (("train", {0, 40}), ("val", {80}), ("test", {120})):
        shard = load_shards(tmp_path / "shards").parts[part]
        seen = [image for image, _, _ in ShardStream(shard, 2, size=8, batch_size=1, training=False)]
        assert {int(value) for image in seen for value in np.unique(image)} == numbers


@pytest.mark.parametrize(
    "where",
    [
        "pipe:touch ran;true://host/train-{0..1}.tar",
        "{http://127.0.0.1:1/val-0,pipe:touch ran;http://127.0.0.1:1/train-0}.tar",
        "http://127.0.0.1:1/val-0.tar::pipe:touch ran;true://host/train-0.tar",
        "ran://host/{train,val}-0.tar",
    ],
)
def test_an_address_runs_no_command(where, tmp_path, monkeypatch):
    """A colleague's config and a protocol name the shards: webdataset would give what follows `pipe:` to a shell."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkbookFileError, match=r"is no address of a shard: it may begin with http://"):
        load_shards(where)
    assert not (tmp_path / "ran").exists()


def test_a_shards_name_runs_no_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_shard(tmp_path / "pipe:touch ran;train-0.tar", members(range(3)))
    write_shard(tmp_path / "val-0.tar", members(range(3)))
    (tmp_path / "classes.txt").write_text("".join(f"kind {n}\n" for n in range(60)))
    assert labels(make(load_shards(".").parts["train"], training=False)) == [0, 1, 2]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("pattern", "number"),
    [
        ("a,b", 1),
        ("{0..999}", 1000),
        ("{05..-5..3}{a,b,{c..e}}", 20),
        ("{{1..3},b}{x,y}{}{z}", 8),
        ("{z..A..2}{0..3..0}", 104),
        (r"\{a,b\}{1..2}{c\,d,}", 4),
        ("{1..3,b}{a..3}", 2),
    ],
)
def test_what_a_pattern_stands_for_is_counted_as_it_is_expanded(pattern, number):
    assert braces.expansions(pattern) == len(braces.expand(pattern)) == number


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("train-{0..999999999}.tar", "stands for 1,000,000,000 shards, and 1,000,000 are the most"),
        ("val-0.tar::train-{0..999}{a..j}{0..99}.tar", "stands for 1,000,001 shards"),
        ("{a,b}" * 60, "stands for 1,152,921,504,606,846,976 shards"),
        ("train-{0..9.tar", "is no pattern of shards .Unbalanced braces"),
        ("http://host/${WDS_NOWHERE}/train-{0..1}.tar", "is no pattern of shards .missing environment variable"),
        ("{" * 1200 + "}" * 1200, "is no pattern of shards .maximum recursion"),
        (f"train-{{0..{'9' * 5000}}}.tar", "is no pattern of shards .Exceeds the limit"),
    ],
)
def test_a_pattern_without_bound_or_sense_is_refused_before_it_is_expanded(pattern, message):
    with pytest.raises(WorkbookFileError, match=message):
        load_shards(pattern)
