"""CUB-200-2011, Stanford Cars and FGVC Aircraft, small, in their official layouts."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from lib.data import DATASETS, Part, download, load_dataset, load_parts, load_pixels, relative_boxes, split_rows
from lib.data.augmentation import AUGMENTATIONS
from lib.data.boxes import box_texts
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError

SETS = {"CUB-200-2011": "images.txt", "StanfordCars": "cars_train_annos.mat", "FGVCAircraft": "trainval.txt"}


def picture(path, size=(40, 20), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").convert(mode).save(path)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("name", SETS)
def test_they_are_registered_and_say_where_they_are(name, tmp_path):
    assert DATASETS[name].augmentation == "fine_grained"
    assert DATASETS[name].augmentation in AUGMENTATIONS
    (tmp_path / "something").mkdir()
    with pytest.raises(
        WorkbookFileError, match=rf"is no {name} data set: no .*{SETS[name]} in it.*(https|Kaggle|download)"
    ):
        load_dataset(name, tmp_path)


@pytest.mark.parametrize("name", ["CUB-200-2011", "StanfordCars", "Market-1501", "DukeMTMC-reID", "MSMT17", "VeRi-776"])
def test_a_set_that_cannot_be_fetched_says_where_it_is(name, tmp_path):
    with pytest.raises(WorkbookError, match=rf"{name} cannot be fetched by this command\. .*data/README.md.*Unpack"):
        download.download(name, tmp_path / "set")
    assert not (tmp_path / "set").exists()


# --- CUB-200-2011 ---


@pytest.fixture
def cub(tmp_path):
    """Three of 200 classes; numbers with gaps; one grey image."""
    base = tmp_path / "CUB_200_2011"
    lists = {name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes")}
    for number, species in ((1, "Albatross"), (4, "Groove_billed_Ani"), (20, "Chat")):
        for i in range(9):
            image = 60 * number + 3 * i
            file = f"{number:03d}.{species}/{species}_{i:04d}_{image}.jpg"
            picture(base / "images" / file, mode="L" if image == 63 else "RGB")
            lists["images"].append(f"{image} {file}")
            lists["image_class_labels"].append(f"{image} {number}")
            lists["train_test_split"].append(f"{image} {int(i < 6)}")
            lists["bounding_boxes"].append(f"{image} {i}.0 2.0 10.5 8.0")
    lists["classes"] = ["1 001.Albatross", "2 002.Nowhere", "4 004.Groove_billed_Ani", "20 020.Chat"]
    for name, lines in lists.items():
        (base / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (base / "parts").mkdir()
    (base / "parts" / "parts.txt").write_text("1 back\n7 left eye\n")
    (base / "parts" / "part_locs.txt").write_text("60 1 12.0 7.5 1\n60 7 0.0 0.0 0\n1200 7 3.0 4.0 1\n")
    return base


def test_cub_is_read_with_classes_parts_and_boxes(cub):
    images = load_dataset("CUB-200-2011", cub.parent)
    assert images.classes == ("Albatross", "Groove_billed_Ani", "Chat")  # those with an image, by number
    assert images.counts.to_dict() == dict.fromkeys(images.classes, 9)
    row = images.rows.set_index("image_id").loc["004.Groove_billed_Ani/Groove_billed_Ani_0007_261"]
    assert (row["label"], row["part"], row["box"], row["mask"]) == (1, "test", "7 2 10.5 8", "")
    assert row["path"].endswith("images/004.Groove_billed_Ani/Groove_billed_Ani_0007_261.jpg")
    assert (row["identity"], row["camera"], images.is_reid) == (0, 0, False)
    assert images.rows["group"].is_unique
    assert load_dataset("CUB-200-2011", cub).rows["image_id"].equals(images.rows["image_id"])
    parts = split_rows(images, "official", val_fraction=0.2)
    assert ((parts == "test") == (images.rows["part"] == "test")).all()
    assert parts.value_counts().to_dict() == {"train": 15, "test": 9, "val": 3}


def test_a_grey_bird_becomes_rgb(cub, tmp_path):
    images, pixels = load_pixels(load_dataset("CUB-200-2011", cub), (10, 20), tmp_path / "cache")
    grey = images.rows.index[images.rows["image_id"].str.endswith("_63")][0]
    assert pixels.shape == (27, 10, 20, 3)
    assert np.ptp(pixels[grey].astype(int), axis=2).max() == 0


def test_parts_are_found_by_image_and_name(cub):
    parts = load_parts(load_dataset("CUB-200-2011", cub))
    assert parts == {
        "001.Albatross/Albatross_0000_60": {"back": Part(12, 7.5, True), "left eye": Part(0, 0, False)},
        "020.Chat/Chat_0000_1200": {"left eye": Part(3, 4, True)},
    }
    (cub / "parts" / "part_locs.txt").unlink()
    with pytest.raises(WorkbookFileError, match=r"no parts/part_locs\.txt.*phantom-birds"):
        load_parts(load_dataset("CUB-200-2011", cub))


def test_cubs_lists_that_do_not_fit_are_named(cub):
    for file, old, new, message in (
        ("images.txt", "63 001", "60 001", r"images\.txt, row 2: number '60' stands there a second time"),
        (
            "images.txt",
            "63 001.Albatross/Albatross_0001_63.jpg",
            "63",
            r"images\.txt, row 2: '63' is not of the form 'number file'",
        ),
        (
            "image_class_labels.txt",
            "63 1\n",
            "",
            r"images\.txt, row 2: .*image_class_labels\.txt does not list image 63",
        ),
        (
            "image_class_labels.txt",
            "63 1",
            "63 9",
            r"labels\.txt: image 63 has the class '9', which classes\.txt does not",
        ),
        ("image_class_labels.txt", "63 1", "63 x", r"image 63 has the class 'x', which classes\.txt does not list"),
        ("classes.txt", "4 004.", "4.5 004.", r"classes\.txt, row 3: the number '4\.5' is not a whole number; restore"),
        ("train_test_split.txt", "63 1", "63 2", r"train_test_split\.txt: image 63 has '2', which is neither 1"),
        (
            "train_test_split.txt",
            "63 1",
            "60 1",
            r"train_test_split\.txt, row 2: number '60' stands there a second time",
        ),
        ("bounding_boxes.txt", "63 1.0", "63 x", r"bounding_boxes\.txt, row 2: the x 'x' is not a number; restore"),
        ("bounding_boxes.txt", "63 1.0", "63 inf", r"bounding_boxes\.txt, row 2: the x 'inf' is not a number"),
        ("bounding_boxes.txt", "63 1.0 2.0 10.5", "63 1.0 2.0 -2", r"row 2: the box of -2 × 8 pixels has no area"),
    ):
        whole = (cub / file).read_text()
        edit(cub / file, old, new)
        with pytest.raises(WorkbookError, match=message):
            load_dataset("CUB-200-2011", cub)
        (cub / file).write_text(whole)
    (cub / "bounding_boxes.txt").unlink()
    assert set(load_dataset("CUB-200-2011", cub).rows["box"]) == {""}
    (cub / "classes.txt").write_text("")
    with pytest.raises(WorkbookFileError, match=r"classes\.txt lists nothing"):
        load_dataset("CUB-200-2011", cub)
    (cub / "classes.txt").unlink()
    with pytest.raises(WorkbookFileError, match=r"classes\.txt is not a readable list"):
        load_dataset("CUB-200-2011", cub)


def test_cubs_classes_go_by_number_however_they_are_listed(cub):
    (cub / "classes.txt").write_text("20 020.Chat\n1 001.Albatross\n4 004.Groove_billed_Ani\n")
    assert load_dataset("CUB-200-2011", cub).classes == ("Albatross", "Groove_billed_Ani", "Chat")


def test_a_part_without_a_name_is_refused(cub):
    images = load_dataset("CUB-200-2011", cub)
    edit(cub / "parts" / "part_locs.txt", "60 7", "60 8")
    with pytest.raises(WorkbookValueError, match=r"part_locs\.txt, row 2: parts\.txt has no part '8'; restore"):
        load_parts(images)
    edit(cub / "parts" / "parts.txt", "7 left", "1 left")
    with pytest.raises(WorkbookValueError, match=r"parts\.txt, row 2: part '1' stands there a second time"):
        load_parts(images)


def test_a_bird_without_an_image_is_named_and_can_be_skipped(cub):
    (cub / "images" / "001.Albatross" / "Albatross_0002_66.jpg").unlink()
    with pytest.raises(WorkbookFileError, match=r"images\.txt, row 3: no image file 001\.Albatross/Albatross_0002_66"):
        load_dataset("CUB-200-2011", cub)
    images = load_dataset("CUB-200-2011", cub, skip_unreadable=True)
    assert (len(images.rows), len(images.unreadable)) == (26, 1)
    assert images.classes[images.rows["label"].iloc[-1]] == "Chat"


# --- boxes ---


def test_boxes_as_shares_of_the_picture(cub):
    images = load_dataset("CUB-200-2011", cub)  # 40×20 pixels
    images.rows["box"] = ["", "10 5 20 10", "30 -2 20 8", *images.rows["box"][3:]]
    found = relative_boxes(images)
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [0.25, 0.25, 0.5, 0.5]
    assert found[2] == pytest.approx([0.75, 0, 0.25, 0.3])  # cut to the picture
    assert found.shape == (27, 4)


def test_matlabs_corners_hold_both_ends():
    corners = pd.DataFrame([(1, 1, 40, 20), (3, 5, 3, 6)], columns=["x1", "y1", "x2", "y2"])
    assert box_texts("list", corners, corners=True) == ["0 0 40 20", "2 4 1 2"]


# --- Stanford Cars ---

NAMES = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "smart fortwo Convertible 2012"], dtype=object)
BOX = (("bbox_x1", 2), ("bbox_y1", 3), ("bbox_x2", 31), ("bbox_y2", 18))


def annotations(path, rows, **changes):
    """Write `rows` of (file, class, test or None) as the set does: a struct array, objects inside; `changes` of BOX."""
    one = rows[0][2] is None
    fields = [*(name for name, _ in BOX), "class", "fname" if one else "relative_im_path", *([] if one else ["test"])]
    table = np.zeros((1, len(rows)), dtype=[(field, object) for field in fields])
    for i, (file, number, test) in enumerate(rows):
        table[0, i] = (*(changes.get(name, value) for name, value in BOX), number, file, *([] if one else [test]))
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"annotations": table} if one else {"annotations": table, "class_names": NAMES})


@pytest.fixture
def cars(tmp_path):
    """Two of three classes, four images to train on and four to test each, as in the first release."""
    base = tmp_path / "stanford_cars"
    files = [f"{i:05d}.jpg" for i in range(1, 9)]
    for folder in ("cars_train", "cars_test"):
        for file in files:
            picture(base / folder / file)
    rows = [(file, 1 + 2 * (i % 2), None) for i, file in enumerate(files)]
    annotations(base / "devkit" / "cars_train_annos.mat", rows)
    annotations(base / "cars_test_annos_withlabels.mat", rows)
    savemat(base / "devkit" / "cars_meta.mat", {"class_names": NAMES})
    return base


def test_cars_of_the_first_release(cars):
    images = load_dataset("StanfordCars", cars.parent)
    assert images.classes == (NAMES[0], NAMES[2])
    assert images.rows["part"].value_counts().to_dict() == {"train": 8, "test": 8}
    assert images.rows["image_id"].is_unique  # both parts begin at 00001.jpg
    row = images.rows.set_index("image_id").loc["cars_test/00002"]
    assert (row["label"], row["part"], row["box"]) == (1, "test", "1 2 30 16")
    assert row["path"].endswith("cars_test/00002.jpg")
    (cars / "cars_test_annos_withlabels.mat").rename(cars / "devkit" / "cars_test_annos_withlabels.mat")
    assert load_dataset("StanfordCars", cars).rows["image_id"].equals(images.rows["image_id"])


def test_cars_without_test_labels_have_a_train_part_only(cars, caplog):
    (cars / "cars_test_annos_withlabels.mat").unlink()
    images = load_dataset("StanfordCars", cars)
    assert set(images.rows["part"]) == {"train"}
    assert "no cars_test_annos_withlabels.mat" in caplog.text
    with pytest.raises(WorkbookValueError, match="no official test part here"):
        split_rows(images, "official")


def test_cars_of_the_later_archive(tmp_path):
    rows = [(f"car_ims/{i:06d}.jpg", 1 + i % 3, int(i > 12)) for i in range(1, 19)]
    for file, _, _ in rows:
        picture(tmp_path / "cars" / file)
    annotations(tmp_path / "cars" / "cars_annos.mat", rows)
    images = load_dataset("StanfordCars", tmp_path)
    assert images.classes == tuple(NAMES)
    assert images.rows["part"].value_counts().to_dict() == {"train": 12, "test": 6}
    row = images.rows.set_index("image_id").loc["car_ims/000014"]
    assert (images.classes[row["label"]], row["part"], row["box"]) == (NAMES[2], "test", "1 2 30 16")


@pytest.mark.parametrize("test", ["x", []])
def test_a_car_of_the_later_archive_is_of_either_part(test, tmp_path):
    picture(tmp_path / "car_ims" / "000001.jpg")
    annotations(tmp_path / "cars_annos.mat", [("car_ims/000001.jpg", 1, test)])
    with pytest.raises(WorkbookValueError, match=r"cars_annos\.mat, row 1: the test .* is not a number"):
        load_dataset("StanfordCars", tmp_path)


def test_the_later_archives_list_counts_beside_its_images_only(cars):
    images = load_dataset("StanfordCars", cars)
    stray = cars / "cars_annos.mat"
    annotations(stray, [("car_ims/000001.jpg", 1, 0), ("car_ims/000002.jpg", 2, 1)])
    assert load_dataset("StanfordCars", cars).rows.equals(images.rows)
    (cars / "devkit").rename(cars.parent / "elsewhere")
    with pytest.raises(WorkbookFileError, match=r"no devkit/cars_train_annos\.mat.*cars_annos\.mat counts only beside"):
        load_dataset("StanfordCars", cars)


def test_cars_whose_folders_are_nested_as_on_kaggle(cars):
    images = load_dataset("StanfordCars", cars)
    for folder in ("cars_train", "cars_test"):
        (cars / folder).rename(cars / "moved")
        (cars / folder).mkdir()
        (cars / "moved").rename(cars / folder / folder)
    nested = load_dataset("StanfordCars", cars)
    assert nested.rows.drop(columns="path").equals(images.rows.drop(columns="path"))
    assert nested.rows["path"].iloc[0].endswith("cars_train/cars_train/00001.jpg")
    (cars / "car_devkit").mkdir()
    (cars / "devkit").rename(cars / "car_devkit" / "devkit")
    for name in ("cars_test_annos_withlabels (1).mat", "car_devkit/devkit/cars_test_annos_withlabels_eval.mat"):
        next(cars.rglob("*withlabels*")).rename(cars / name)
        assert (
            load_dataset("StanfordCars", cars.parent).rows.drop(columns="path").equals(images.rows.drop(columns="path"))
        )


def test_boxes_of_cars_are_not_counted_in_the_bytes_that_they_are_stored_in(cars):
    """As the devkit has them: each corner in the smallest type that holds it, so that areas overflow."""
    rows = [("00001.jpg", 1, None), ("00002.jpg", 3, None)]
    corners = {"bbox_x1": np.uint8(30), "bbox_y1": np.uint8(255), "bbox_x2": np.uint16(600), "bbox_y2": np.uint16(400)}
    annotations(cars / "devkit" / "cars_train_annos.mat", rows, **corners)
    boxes = load_dataset("StanfordCars", cars).rows["box"]
    assert boxes[0] == "29 254 571 146"
    annotations(cars / "devkit" / "cars_train_annos.mat", rows, bbox_x2=np.uint8(200), bbox_y2=np.uint8(250))
    images = load_dataset("StanfordCars", cars)
    assert images.rows["box"][0] == "1 2 199 248"
    assert relative_boxes(images)[0].tolist() == [1 / 40, 2 / 20, 39 / 40, 18 / 20]  # cut to the picture


def test_bad_annotations_of_cars_are_named(cars):
    path = cars / "devkit" / "cars_train_annos.mat"
    for write, message in (
        (lambda: path.write_bytes(b"no Matlab file at all"), r"cars_train_annos\.mat is not a readable Matlab file"),
        (lambda: savemat(path, {"other": 1}), r"cars_train_annos\.mat holds no 'annotations'"),
        (lambda: savemat(path, {"annotations": np.zeros(2, [("fname", object)])}), r"lack the field 'bbox_x1'"),
        (lambda: annotations(path, [("00001.jpg", 7, None)]), r"has an image of class 7, but there are 3 classes"),
        (
            lambda: annotations(path, [("00077.jpg", 1, None), ("00001.jpg", 1, None)]),
            r"row 1: no image file cars_train/00077",
        ),
        (
            lambda: annotations(path, [("00001.jpg", "x", None)]),
            r"annos\.mat, row 1: the class 'x' is not a number; rest",
        ),
        (lambda: annotations(path, [("00001.jpg", [], None)]), r"row 1: the class array\(.*\) is not a number"),
        (lambda: annotations(path, [("00001.jpg", 1.5, None)]), r"row 1: the class 1\.5 is not a whole number"),
        (lambda: annotations(path, [("00001.jpg", 1, None)], bbox_x1="a"), r"row 1: the bbox_x1 'a' is not a number"),
        (
            lambda: annotations(path, [("00001.jpg", 1, None)], bbox_y2=[]),
            r"row 1: the bbox_y2 array.* is not a number",
        ),
        (
            lambda: annotations(path, [("00001.jpg", 1, None)], bbox_x2=1),
            r"row 1: the box of 0 × 16 pixels has no area",
        ),
    ):
        write()
        with pytest.raises(WorkbookError, match=message):
            load_dataset("StanfordCars", cars)


# --- FGVC Aircraft ---


@pytest.fixture
def aircraft(tmp_path):
    base = tmp_path / "fgvc-aircraft-2013b" / "data"
    variants = ["707-320", "F/A-18", "Cessna 172"]
    lists = {"trainval": [], "test": [], "train": [], "val": []}
    for i in range(24):
        image = f"{1000 + i:07d}"
        picture(base / "images" / f"{image}.jpg", (40, 60))
        line = f"{image} {variants[i % 3]}"
        lists["trainval" if i < 12 else "test"].append(line)
        if i < 12:
            lists["train" if i < 6 else "val"].append(line)
    for name, lines in lists.items():
        (base / f"images_variant_{name}.txt").write_text("\n".join(lines) + "\n")
    (base / "variants.txt").write_text("\n".join(variants) + "\n")
    (base / "images_box.txt").write_text("0001000 11 11 30 30\n0001001 1 1 40 60\n")
    return tmp_path


def test_aircraft_train_on_trainval_and_lose_their_banner(aircraft, tmp_path):
    images = load_dataset("FGVCAircraft", aircraft)
    assert images.classes == ("707-320", "F/A-18", "Cessna 172")
    assert images.rows["part"].value_counts().to_dict() == {"train": 12, "test": 12}
    row = images.rows.set_index("image_id").loc["0001002"]
    assert (images.classes[row["label"]], row["box"]) == ("Cessna 172", "")
    assert relative_boxes(images)[:2].tolist() == [[0.25, 0.25, 0.5, 0.5], [0, 0, 1, 1]]  # of 40×40: cut at the banner
    for path in images.rows["path"]:
        pixels = np.full((60, 40, 3), 100, np.uint8)
        pixels[40:] = 255  # the banner
        Image.fromarray(pixels).save(path, quality=100, subsampling=0)
    shown = load_pixels(images, 16, tmp_path / "cache")[1]
    assert shown[0].max() < 130
    assert (
        load_dataset("FGVCAircraft", aircraft / "fgvc-aircraft-2013b").rows["image_id"].equals(images.rows["image_id"])
    )


def test_bad_lines_of_the_aircraft_lists_are_named(aircraft):
    base = aircraft / "fgvc-aircraft-2013b" / "data"
    for old, new, message in (
        (
            "0001001 F/A-18",
            "0001001 F/A-81",
            r"images_variant_trainval\.txt, row 2: unknown class 'F/A-81'.*mean 'F/A-18'",
        ),
        ("0001001 F/A-18", "0001000 F/A-18", r"row 2: image '0001000' stands there a second time"),
        ("0001001 F/A-18", "0001777 F/A-18", r"row 2: no image file 0001777"),
    ):
        whole = (base / "images_variant_trainval.txt").read_text()
        edit(base / "images_variant_trainval.txt", old, new)
        with pytest.raises(WorkbookError, match=message):
            load_dataset("FGVCAircraft", aircraft)
        (base / "images_variant_trainval.txt").write_text(whole)


def test_an_aircraft_on_both_sides_is_refused(aircraft):
    base = aircraft / "fgvc-aircraft-2013b" / "data"
    edit(base / "images_variant_test.txt", "0001013", "0001001")
    with pytest.raises(
        WorkbookValueError, match=r"Image '0001001' stands in FGVCAircraft twice \(official parts: train and test\)"
    ):
        load_dataset("FGVCAircraft", aircraft)


def test_a_variant_that_is_listed_twice_is_refused(aircraft):
    edit(aircraft / "fgvc-aircraft-2013b" / "data" / "variants.txt", "F/A-18", "707-320\nF/A-18")
    with pytest.raises(WorkbookValueError, match=r"variants\.txt, row 2: variant '707-320' stands there a second time"):
        load_dataset("FGVCAircraft", aircraft)


def test_an_aircraft_box_without_an_area_is_refused(aircraft):
    edit(aircraft / "fgvc-aircraft-2013b" / "data" / "images_box.txt", "0001001 1 1 40 60", "0001001 40 60 1 1")
    with pytest.raises(WorkbookValueError, match=r"images_box\.txt, row 2: the box of -38 × -58 pixels has no area"):
        load_dataset("FGVCAircraft", aircraft)
