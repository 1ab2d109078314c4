"""STL10, Caltech-101, Caltech-256 and Oxford-IIIT Pet, small, in the layouts that torchvision unpacks."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torchvision.datasets import STL10

from lib.data import DATASETS, decode, load_dataset, split_rows
from lib.data.augmentation import AUGMENTATIONS
from lib.data.sets import array_sets
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError

SETS = ("STL10", "Caltech101", "Caltech256", "oxford-iiit-pet")


def picture(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 9), colour).save(path)


@pytest.mark.parametrize("name", SETS)
def test_they_are_registered_for_photographs_on_two_cores(name):
    entry = DATASETS[name]
    assert (entry.augmentation, entry.built_in) == ("natural", False)
    assert entry.augmentation in AUGMENTATIONS
    assert entry.quick_size <= 96


@pytest.mark.parametrize("name", SETS)
def test_a_root_without_the_set_says_how_to_get_it(name, tmp_path):
    (tmp_path / "something").mkdir()
    with pytest.raises(WorkbookFileError, match=f"is no .*data set.*lib.data.download {name}"):
        load_dataset(name, tmp_path)
    with pytest.raises(WorkbookFileError, match="does not exist"):
        load_dataset(name, tmp_path / "nowhere")


# --- Caltech ---


@pytest.fixture
def caltech101(tmp_path):
    base = tmp_path / "caltech101" / "101_ObjectCategories"
    for name in ("ant", "BACKGROUND_Google", "Faces", "yin_yang"):
        for number in (1, 3, 7, 8):  # a subset: torchvision would look for image_0002.jpg
            picture(base / name / f"image_{number:04d}.jpg")
    (tmp_path / "caltech101" / "Annotations" / "ant").mkdir(parents=True)
    return tmp_path


def test_caltech101_leaves_out_its_background_and_keeps_ids_unique(caltech101):
    images = load_dataset("Caltech101", caltech101)
    assert images.classes == ("Faces", "ant", "yin_yang")
    assert images.counts.to_dict() == {"Faces": 4, "ant": 4, "yin_yang": 4}
    assert images.rows["image_id"].is_unique
    row = images.rows[images.rows["image_id"] == "ant/image_0003"].iloc[0]
    assert row["path"].endswith("101_ObjectCategories/ant/image_0003.jpg")
    assert (images.classes[row["label"]], row["group"], row["mask"], row["part"]) == ("ant", row["image_id"], "", "")


def test_the_root_may_be_the_unpacked_folder_or_what_holds_it(caltech101, monkeypatch):
    holder = caltech101 / "caltech101"
    ids = [load_dataset("Caltech101", root).rows["image_id"].tolist() for root in (caltech101, holder)]
    monkeypatch.chdir(holder / "101_ObjectCategories")
    for root in (holder / "101_ObjectCategories", "."):
        ids.append(load_dataset("Caltech101", root).rows["image_id"].tolist())
    assert ids[0] == ids[1] == ids[2] == ids[3]


def test_an_unfinished_download_is_not_read(caltech101):
    (caltech101 / "caltech101").rename(caltech101 / ".download")
    with pytest.raises(WorkbookFileError, match="no 101_ObjectCategories in it"):
        load_dataset("Caltech101", caltech101)


def test_caltech256_takes_numbered_classes_without_clutter_or_strays(tmp_path):
    base = tmp_path / "256_ObjectCategories"
    for number, name in ((1, "ak47"), (2, "american-flag"), (145, "motorbikes-101"), (257, "clutter")):
        for image in (1, 2):
            picture(base / f"{number:03d}.{name}" / f"{number:03d}_{image:04d}.jpg")
    (base / "002.american-flag" / "RENAME2").write_text("a script that the archive holds")
    picture(base / "002.american-flag" / "deeper" / "x.jpg")
    picture(base / "notes" / "x.jpg")
    images = load_dataset("Caltech256", tmp_path)
    assert images.counts.to_dict() == {"ak47": 2, "american-flag": 2, "motorbikes-101": 2}
    assert images.rows["image_id"].iloc[-1] == "145.motorbikes-101/145_0002"
    assert images.rows["image_id"].is_unique


def test_a_class_folder_without_an_image_is_named(caltech101):
    for path in (caltech101 / "caltech101" / "101_ObjectCategories" / "ant").iterdir():
        path.unlink()
    with pytest.raises(WorkbookFileError, match="ant holds no image"):
        load_dataset("Caltech101", caltech101)
    (tiny := caltech101 / "tiny" / "101_ObjectCategories").mkdir(parents=True)
    with pytest.raises(WorkbookFileError, match="at least two class folders, it has 0"):
        load_dataset("Caltech101", tiny)


def test_a_set_without_official_parts_says_so(caltech101):
    with pytest.raises(WorkbookValueError, match="Caltech101 has no official parts; use split='lesion'"):
        split_rows(load_dataset("Caltech101", caltech101), "official")


# --- Oxford-IIIT Pet ---

BREEDS = {"Abyssinian": (1, 1, 1), "american_bulldog": (2, 2, 1), "Bengal": (6, 1, 2)}  # class, species, breed


@pytest.fixture
def pets(tmp_path):
    root = tmp_path / "oxford-iiit-pet"
    lists = {"list": ["#Image CLASS-ID SPECIES BREED ID", "#ID: 1:37 Class ids"], "trainval": [], "test": []}
    for breed, numbers in BREEDS.items():
        for i in range(1, 9):
            line = " ".join(map(str, (f"{breed}_{i}", *numbers)))
            lists["list"].append(line)
            lists["trainval" if i <= 5 else "test"].append(line)
            picture(root / "images" / f"{breed}_{i}.jpg")
            picture(root / "annotations" / "trimaps" / f"{breed}_{i}.png")  # the image's own name, in another folder
    for name, lines in lists.items():
        (root / "annotations" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    Image.new("P", (8, 8), 3).save(root / "images" / "Abyssinian_3.jpg", format="GIF")
    Image.new("RGBA", (8, 8), (9, 9, 9, 255)).save(root / "images" / "Abyssinian_5.jpg", format="PNG")
    picture(root / "images" / "Abyssinian_34.jpg")  # in no list, as some of the original
    return root


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_pets_are_read_by_breed_with_their_official_parts(pets):
    images = load_dataset("oxford-iiit-pet", pets)
    assert images.classes == ("Abyssinian", "american_bulldog", "Bengal")  # by official number, not by the alphabet
    assert images.counts.to_dict() == dict.fromkeys(images.classes, 8)
    assert images.rows.groupby("part").size().to_dict() == {"train": 15, "test": 9}
    row = images.rows[images.rows["image_id"] == "american_bulldog_6"].iloc[0]
    assert row["path"].endswith("images/american_bulldog_6.jpg")
    assert (images.classes[row["label"]], row["part"], row["mask"]) == ("american_bulldog", "test", "")
    assert load_dataset("oxford-iiit-pet", pets.parent).rows["image_id"].equals(images.rows["image_id"])


def test_gif_and_alpha_under_the_name_jpg_are_decoded(pets):
    for name in ("Abyssinian_3", "Abyssinian_5"):
        rows = load_dataset("oxford-iiit-pet", pets).rows.set_index("image_id")
        assert decode(rows.loc[name, "path"], 8).shape == (8, 8, 3)


def test_the_parts_lists_may_be_missing(pets):
    (pets / "annotations" / "test.txt").unlink()
    images = load_dataset("oxford-iiit-pet", pets)
    assert images.rows["part"].value_counts().to_dict() == {"train": 15, "": 9}
    with pytest.raises(WorkbookValueError, match=r"has no official \w+ part here"):
        split_rows(images, "official")
    (pets / "annotations" / "trainval.txt").unlink()
    assert set(load_dataset("oxford-iiit-pet", pets).rows["part"]) == {""}


def test_a_listed_pet_without_an_image_is_named_and_can_be_skipped(pets):
    (pets / "images" / "Bengal_2.jpg").unlink()
    with pytest.raises(WorkbookFileError, match=r"list\.txt, row 20: no image file Bengal_2.*--skip-unreadable"):
        load_dataset("oxford-iiit-pet", pets)
    images = load_dataset("oxford-iiit-pet", pets, skip_unreadable=True)
    assert (len(images.rows), len(images.unreadable)) == (23, 1)
    last = images.rows.iloc[-1]
    assert (last["image_id"], images.classes[last["label"]], last["part"]) == ("Bengal_8", "Bengal", "test")


def test_bad_lines_of_the_pets_list_are_named(pets):
    path = pets / "annotations" / "list.txt"
    whole = path.read_text()
    for old, new, message in (
        ("Abyssinian_4 1 1 1", "Abyssinian_4 one", r"list\.txt, row 6: 'Abyssinian_4 one' is not of the form"),
        ("Abyssinian_4 1 1 1", "Abyssinian_4 1", r"row 6: 'Abyssinian_4 1' is not of the form"),
        ("Abyssinian_4 1", "Abyssinian_3 1", r"row 6: image 'Abyssinian_3' stands there a second time"),
        ("Bengal_1 6", "Bengal_1 2", r"breed 'Bengal' and class \d do not go together"),
        ("Bengal_1 6", "Bengal_1 six", r"row 19: the class 'six' is not a number"),
        ("Bengal_1 6", "Bengal1 6", r"row 19: 'Bengal1' does not tell the breed as in Abyssinian_100"),
        (whole, "# nothing\n", r"list\.txt lists nothing"),
    ):
        path.write_text(whole)
        edit(path, old, new)
        with pytest.raises(WorkbookError, match=message):
            load_dataset("oxford-iiit-pet", pets)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(WorkbookFileError, match="not a readable list"):
        load_dataset("oxford-iiit-pet", pets)


# --- STL-10 ---


@pytest.fixture
def stl(tmp_path, monkeypatch):
    """Twelve training and twenty test pictures, whose MD5 sums torchvision is told."""
    base = tmp_path / "stl10_binary"
    base.mkdir()
    rng = np.random.default_rng(0)
    for part, per_class in (("train", 3), ("test", 2)):
        labels = np.tile(np.arange(1, 11, dtype=np.uint8), per_class)  # 1…10
        pixels = rng.integers(0, 256, (len(labels), 3, 96, 96), dtype=np.uint8)  # column by column
        pixels.tofile(base / f"{part}_X.bin")
        labels.tofile(base / f"{part}_y.bin")

    def sums(*names):
        return [[n, hashlib.md5((base / n).read_bytes(), usedforsecurity=False).hexdigest()] for n in names]

    monkeypatch.setattr(STL10, "train_list", [*sums("train_X.bin", "train_y.bin"), ["unlabeled_X.bin", "0" * 32]])
    monkeypatch.setattr(STL10, "test_list", sums("test_X.bin", "test_y.bin"))
    return tmp_path


def test_stl10_is_written_once_with_its_official_parts(stl):
    images = load_dataset("STL10", stl)
    assert images.rows["part"].value_counts().to_dict() == {"train": 30, "test": 20}
    assert images.counts.to_dict() == dict.fromkeys(array_sets.STL10_CLASSES, 5)
    assert images.rows["image_id"].is_unique
    written = {p: p.stat().st_mtime_ns for p in stl.rglob("*.png")}
    assert len(written) == 50
    again = load_dataset("STL10", stl / "stl10_binary")
    assert again.rows["image_id"].equals(images.rows["image_id"])
    assert written == {p: p.stat().st_mtime_ns for p in stl.rglob("*.png")}
    for path in (stl / "stl10_binary").glob("*.bin"):
        path.unlink()  # the arrays are not needed any more
    assert len(load_dataset("STL10", stl).rows) == 50


def test_stl10s_pictures_are_those_that_torchvision_reads(stl):
    rows = load_dataset("STL10", stl).rows
    for part in ("train", "test"):
        reader = array_sets.torchvision_reader("STL10")(stl, split=part)
        for (expected, label), row in zip(reader, rows[rows["part"] == part].itertuples(), strict=True):
            assert np.array_equal(np.asarray(Image.open(row.path)), np.asarray(expected))
            assert row.label == label
            assert f"/{array_sets.STL10_CLASSES[label]}/" in row.path


def test_missing_and_damaged_arrays_are_told_apart(stl):
    base = stl / "stl10_binary"
    (base / "test_X.bin").write_bytes(b"half")
    with pytest.raises(WorkbookFileError, match=r"MD5 sums differ.*lib.data.download STL10"):
        load_dataset("STL10", stl)
    (base / "test_X.bin").unlink()
    with pytest.raises(WorkbookFileError, match=r"lacks test_X\.bin"):
        load_dataset("STL10", stl)
    assert not [p for p in base.iterdir() if p.suffix != ".bin"]


def test_a_full_disk_leaves_no_half_written_pictures(stl, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)  # the index comes last
    with pytest.raises(WorkbookError, match=r"Cannot write .*png: No space left"):
        load_dataset("STL10", stl)
    assert not list(stl.rglob("*.png"))


def test_a_picture_that_is_gone_is_named_and_can_be_skipped(stl):
    load_dataset("STL10", stl)
    (stl / "stl10_binary" / "png" / "bird" / "train_0001.png").unlink()
    with pytest.raises(WorkbookFileError, match=r"index\.csv, row 3: no image file train_0001"):
        load_dataset("STL10", stl)
    assert len(load_dataset("STL10", stl, skip_unreadable=True).rows) == 49


def test_the_official_split_of_sets_without_a_validation_part(stl, pets):
    for images in (load_dataset("STL10", stl), load_dataset("oxford-iiit-pet", pets)):
        parts = split_rows(images, "official", val_fraction=0.3)
        assert set(parts) == {"train", "val", "test"}
        assert ((parts == "test") == (images.rows["part"] == "test")).all()
