"""One finder for every loader and for predict: what systems leave behind is no data, and an id means one file."""

import os
import unicodedata

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib.data import ImageSet, load_dataset, load_pixels
from lib.data.file_finder import files_named, listed_files
from lib.data.image_files import ImageFiles, pictures_below
from lib.data.image_names import image_name
from lib.data.masks import decode_mask, mask_files
from lib.data.shards.listing import list_shards
from lib.errors import WorkbookFileError
from lib.file_tree import data_in, files_below
from lib.inputs import state
from lib.predict import find_images

LEFT_BEHIND = [
    "._x.png",
    ".hidden.png",
    ".thumbnails/x.png",
    ".ipynb_checkpoints/x-checkpoint.png",
    "__MACOSX/._x.png",
    "__MACOSX/x.png",
    "@eaDir/x.png/SYNOPHOTO_THUMB_M.png",
    "#recycle/x.png",
    "$RECYCLE.BIN/x.png",
    "RECYCLER/x.png",
    "LOST.DIR/x.png",
    "System Volume Information/x.png",
    "Thumbs.db",
    "desktop.ini",
]


def picture(path, seed=0, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def class_folders(root, classes=("cat", "dog")):
    for name in classes:
        for k in range(3):
            picture(root / name / f"{k}.png", k)
    return root


@pytest.mark.parametrize("name", LEFT_BEHIND)
@pytest.mark.parametrize("where", [".", "cat"])
def test_what_systems_leave_behind_is_no_data(name, where, tmp_path):
    root = class_folders(tmp_path / "set")
    images, before = load_dataset("imagefolder", root), state(root)
    picture(root / where / name)
    again = load_dataset("imagefolder", root)
    assert (again.classes, again.rows["path"].tolist()) == (images.classes, images.rows["path"].tolist())
    assert len(find_images(root)[0]) == 6
    assert len(data_in(root)) == 2
    assert ImageFiles(root).path("x") is None
    assert state(root) == before


def test_links_to_folders_are_followed_once_and_those_that_lead_nowhere_are_none(tmp_path):
    root, more = class_folders(tmp_path / "set"), tmp_path / "more"
    for k in range(4):
        picture(more / f"extra{k}.png", k)
    (root / "cat" / "a link").symlink_to(more)
    (root / "cat" / "again").symlink_to(more)
    (root / "cat" / "up").symlink_to(root)
    (root / "dog" / "nowhere.png").symlink_to(tmp_path / "gone.png")
    (root / "dog" / "itself.png").symlink_to(root / "dog" / "itself.png")
    (root / "dog" / "one.png").symlink_to(more / "extra0.png")
    assert load_dataset("imagefolder", root).counts["dog"] == 4
    below = list(files_below(root))
    assert len(below) == len({os.path.realpath(path) for path in below if not path.endswith("one.png")}) + 1 == 11
    assert state(root).startswith("folder ")
    assert len(find_images(root / "cat")[0]) == 3 + 4 + 4  # by `up` the class beside it, and its link


@pytest.mark.parametrize(
    "asked", ["Läsion_1", "läsion_1.JPG", r"part_1\läsion_1.png", "part_1/LÄSION_1.tiff", " Läsion_1"]
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_neither_folder_suffix_case_nor_composition_of_an_id_matters(asked, form, tmp_path):
    path = picture(tmp_path / "images" / (unicodedata.normalize("NFD", "Läsion_1") + ".png"))
    files = ImageFiles(tmp_path)
    assert files.path(unicodedata.normalize(form, asked)) == str(path)
    assert files.path("sion_1") is None
    assert image_name(unicodedata.normalize(form, asked)).casefold() == "läsion_1"


def test_a_table_may_write_ids_in_another_way(tmp_path):
    rows = []
    for k, dx in enumerate(("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")):
        picture(tmp_path / "images" / f"Bild ä {k}.png", k)
        rows.append(f"L{k},{unicodedata.normalize('NFD', f'images{chr(92)}Bild ä {k}.JPG')},{dx}\n")
    (tmp_path / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\n" + "".join(rows))
    assert load_dataset("HAM10000", tmp_path).rows["image_id"].tolist() == [f"Bild ä {k}" for k in range(7)]


def test_files_that_differ_in_case_are_two_images(tmp_path):
    if picture(tmp_path / "a" / "x.png", 0).with_name("X.png").exists():
        pytest.skip("this file system knows no case")
    picture(tmp_path / "a" / "X.png", 1)
    files = ImageFiles(tmp_path)
    assert [os.path.basename(files.path(name)) for name in ("x", "X")] == ["x.png", "X.png"]


@pytest.mark.parametrize(
    "beside",
    [
        "GroundTruth_masks",
        "a/Segmentation",
        "mask",
        "SegmentationClass",
        "seg",
        "gt",
        "annotations",
        "Ground Truth",
        "thumbs",
        "Previews",
    ],
)
def test_of_namesakes_the_one_that_is_no_mask_and_no_copy_is_meant(beside, tmp_path):
    image = picture(tmp_path / "images" / "x.jpg", 0)
    other = picture(tmp_path / beside / "x.png", 1)
    files = ImageFiles(tmp_path)
    assert files.path("x") == str(image)
    assert files.mask("x") == ("" if beside in {"thumbs", "Previews"} else str(other))
    assert pictures_below(tmp_path) == {str(image): files.mask("x")}


def test_of_namesakes_that_may_both_be_meant_both_are_named(tmp_path):
    first, other = picture(tmp_path / "one" / "x.png", 0), picture(tmp_path / "two" / "x.jpg", 1)
    with pytest.raises(WorkbookFileError, match=r"'x' may be .*one/x\.png or .*two/x\.jpg; move all but one"):
        ImageFiles(tmp_path).path("x")
    other.write_bytes(first.read_bytes())  # mirrors hold archives twice
    assert ImageFiles(tmp_path).path("x") == str(first)


@pytest.mark.parametrize(
    "name",
    [
        *("x_mask", "x_Segmentation", "x-seg", "x.mask", "x_masks", "x_mask_1", "x_lesion", "x_GT", "mask_x", "seg-X"),
        *("x.jpg_mask", "x.png.mask", "x_mask.png", "x_mask (1)", "x_gt_mask", "x_ground_truth"),
    ],
)
def test_masks_are_told_by_how_they_are_called(name, tmp_path):
    image, mask = picture(tmp_path / "c" / "x.png"), picture(tmp_path / "c" / f"{name}.png")
    alone = picture(tmp_path / "c" / "y_mask.png")  # of nothing: an image
    assert pictures_below(tmp_path) == {str(image): str(mask), str(alone): ""}
    assert (ImageFiles(tmp_path).mask("X.jpg"), ImageFiles(tmp_path).path(name)) == (str(mask), str(mask))
    assert [path.name for _, path in find_images(tmp_path)[0]] == ["x.png", "y_mask.png"]


def test_an_image_that_is_called_a_mask_of_nothing_may_have_one(tmp_path):
    image, mask = picture(tmp_path / "x_lesion.png"), picture(tmp_path / "x_lesion_mask.png")
    assert pictures_below(tmp_path) == {str(image): str(mask)}
    assert ImageFiles(tmp_path).mask("x_lesion") == str(mask)


def test_a_mask_an_object_is_one_mask_in_several_files(tmp_path):
    image = picture(tmp_path / "c" / "benign (4).png", size=(4, 4))
    names = ("benign (4)_mask", "benign (4)_mask_1", "benign (4)_mask_2")
    for k, name in enumerate(names):
        Image.fromarray(np.eye(4, k=k, dtype=np.uint8)).save(tmp_path / "c" / f"{name}.png")
    picture(tmp_path / "c" / "benign (4)_segmentation.png")  # another one, and not a part of it
    masks = pictures_below(tmp_path)[str(image)]
    assert masks == ImageFiles(tmp_path).mask("benign (4)")
    assert mask_files(masks) == [str(tmp_path / "c" / f"{name}.png") for name in names]
    union = np.eye(4) + np.eye(4, k=1) + np.eye(4, k=2)
    assert np.array_equal(decode_mask(masks, image, 4), union * 255)
    rows = pd.DataFrame({"image_id": ["4"], "path": [str(image)], "label": [0], "mask": [masks]})
    (tmp_path / "c" / f"{names[2]}.png").write_bytes(b"damaged")
    with pytest.raises(WorkbookFileError, match="_mask_2.png: corrupt"):
        load_pixels(ImageSet("busi", ("benign",), rows), 4, tmp_path / "cache")


def test_double_suffixes_and_portable_maps_are_images(tmp_path):
    path = picture(tmp_path / "x.jpg.JPG")
    Image.open(path).save(tmp_path / "y.ppm")
    files = ImageFiles(tmp_path)
    assert files.path("x") == files.path("x.jpg") == str(path)
    assert files.path("y") == str(tmp_path / "y.ppm")


def test_a_class_may_be_called_mask(tmp_path):
    images = load_dataset("imagefolder", class_folders(tmp_path, ("mask", "no_mask")))
    assert images.counts.to_dict() == {"mask": 3, "no_mask": 3}
    assert set(images.rows["mask"]) == {""}


def test_images_that_differ_in_their_suffix_only_are_told(tmp_path, caplog):
    root = class_folders(tmp_path)
    picture(root / "cat" / "0.jpg", 9)
    assert load_dataset("imagefolder", root).counts["cat"] == 4
    assert "cat/0.jpg and its like differ in their suffix only" in caplog.text


def test_lists_and_tables_and_shards_are_found_by_the_same_rules(tmp_path):
    picture(tmp_path / "images" / "A" / "x.JPG")
    table = pd.DataFrame({"image_id": ["1", "2"], "file": [r"a\X.jpg", "a/y.jpg"]})
    found = listed_files(table, tmp_path / "images")
    assert (found("1"), found("2")) == (str(tmp_path / "images" / "A" / "x.JPG"), None)
    for name in ("List.CSV", "._list.csv", "__MACOSX/list.csv", "deep/list.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert files_named(tmp_path, "list.csv") == [tmp_path / "List.CSV", tmp_path / "deep" / "list.csv"]
    (tmp_path / "train-0.TAR").write_bytes(bytes(10240))
    (tmp_path / "._train-0.tar").write_bytes(b"\0\5\x16\7")
    assert list_shards(tmp_path) == [str(tmp_path / "train-0.TAR")]
