"""The loaders read the official layouts and name what is wrong with a folder, a row, a file."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from lib.data import DATASETS, Dataset, ImageSet, in_full, load_dataset, split_rows
from lib.data.sets.ham10000 import CLASSES
from lib.data.survey import identical_images, image_sizes, views_per_lesion
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError
from lib.paths import ROOT


def test_ham10000_in_its_official_layout(shared_ham):
    images = load_dataset("HAM10000", shared_ham)
    assert images.classes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert len(images.rows) == 7 * 6 * 2
    assert images.counts.to_dict() == dict.fromkeys(images.classes, 12)
    row = images.rows[images.rows["image_id"] == "ISIC_0000013"].iloc[0]
    assert (row["group"], images.classes[row["label"]]) == ("HAM_0000006", "bcc")
    assert row["path"].endswith("part_2/ISIC_0000013.jpg")
    assert row["mask"].endswith("ISIC_0000013_segmentation.png")


def test_images_may_lie_in_any_arrangement_and_masks_may_be_missing(ham_root):
    flat = ham_root / "deep" / "all images"
    flat.mkdir(parents=True)
    for path in ham_root.glob("HAM10000_images_part_*/*.jpg"):
        path.rename(flat / path.name)
    for mask in ham_root.rglob("*_segmentation.png"):
        mask.unlink()
    images = load_dataset("HAM10000", ham_root)
    assert len(images.rows) == 84
    assert set(images.rows["mask"]) == {""}


def test_metadata_under_dataverses_names(ham_root):
    table = pd.read_csv(ham_root / "HAM10000_metadata.csv")
    (ham_root / "HAM10000_metadata.csv").unlink()
    table.to_csv(ham_root / "HAM10000_metadata.tab", sep="\t", index=False)
    assert len(load_dataset("HAM10000", ham_root).rows) == 84


def test_a_name_may_be_written_in_any_case(shared_ham):
    assert load_dataset("ham10000", shared_ham).name == "HAM10000"


def change(root, row, column, value):
    path = root / "HAM10000_metadata.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[row, column] = value
    table.to_csv(path, index=False)


def test_diagnoses_may_be_spelled_out_or_as_isic_does(ham_root):
    spelled = [
        "AKIEC",
        "Basal cell carcinoma",
        "benign keratosis",
        "DF",
        "Melanoma",
        "Melanocytic nevus",
        "Vascular lesion",
    ]
    path = ham_root / "HAM10000_metadata.csv"
    table = pd.read_csv(path, dtype=str)
    before = load_dataset("HAM10000", ham_root)
    other = dict(zip(before.classes, spelled, strict=True))
    table.assign(dx=[other[dx] if i % 2 else dx for i, dx in enumerate(table["dx"])]).to_csv(path, index=False)
    after = load_dataset("HAM10000", ham_root)
    assert after.classes == before.classes
    assert after.rows["label"].tolist() == before.rows["label"].tolist()


def test_every_class_has_its_name_and_data_readme_tells_both():
    readme = (ROOT / "data" / "README.md").read_text()
    for code in CLASSES:
        ours, theirs = (in_full(name, [code])[0] for name in ("HAM10000", "isic-2018-task-3"))
        assert f"| `{code}` | {ours.split(': ')[1]} | {theirs.split(': ')[1]} (`{code.upper()}`) |" in readme
    assert in_full("digits", ["mel"]) == in_full("not there", ["mel"]) == []


def test_an_unknown_class_is_named_with_its_row(ham_root):
    change(ham_root, 3, "dx", "bbc")
    with pytest.raises(
        WorkbookValueError, match=r"HAM10000_metadata\.csv, row 5: unknown class 'bbc'\. Did you mean 'bcc'"
    ):
        load_dataset("HAM10000", ham_root)


def test_an_image_listed_twice_is_named(ham_root):
    change(ham_root, 4, "image_id", "ISIC_0000000")
    with pytest.raises(WorkbookValueError, match="row 6: image 'ISIC_0000000' stands there a second time"):
        load_dataset("HAM10000", ham_root)


def test_a_row_without_an_image_is_named_and_can_be_skipped(ham_root, caplog):
    (ham_root / "HAM10000_images_part_1" / "ISIC_0000002.jpg").unlink()
    with pytest.raises(WorkbookFileError, match=r"row 4: no image file ISIC_0000002.*--skip-unreadable"):
        load_dataset("HAM10000", ham_root)
    images = load_dataset("HAM10000", ham_root, skip_unreadable=True)
    assert len(images.rows) == 83
    assert "ISIC_0000002" in images.unreadable[0]
    assert "ISIC_0000002" in caplog.text
    left_of_it = images.rows[images.rows["image_id"] == "ISIC_0000083"].iloc[0]
    assert images.classes[left_of_it["label"]] == "vasc"  # labels stay beside their own images


def test_a_row_without_an_id_is_told_as_that(ham_root):
    change(ham_root, 2, "image_id", "")
    with pytest.raises(WorkbookFileError, match=r"row 4: the image has no id\. "):
        load_dataset("HAM10000", ham_root)


def test_a_missing_column_is_named(ham_root):
    path = ham_root / "HAM10000_metadata.csv"
    pd.read_csv(path).drop(columns="lesion_id").to_csv(path, index=False)
    with pytest.raises(WorkbookValueError, match="lacks the column 'lesion_id'"):
        load_dataset("HAM10000", ham_root)


@pytest.mark.parametrize("name", ["HAM10000", "isic-2018-task-3"])
def test_a_root_that_is_no_data_set(name, tmp_path):
    with pytest.raises(WorkbookFileError, match=f"is no .*data set.*download {name}"):
        load_dataset(name, tmp_path)
    with pytest.raises(WorkbookFileError, match="does not exist"):
        load_dataset(name, tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbookFileError, match="is a file"):
        load_dataset(name, tmp_path / "file")


def test_a_table_whose_images_are_elsewhere(ham_root, tmp_path):
    (tmp_path / "other").mkdir()
    (ham_root / "HAM10000_metadata.csv").rename(tmp_path / "other" / "HAM10000_metadata.csv")
    with pytest.raises(WorkbookFileError, match="None of the 84 images"):
        load_dataset("HAM10000", tmp_path / "other")


def test_a_binary_file_as_metadata(ham_root):
    (ham_root / "HAM10000_metadata.csv").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(WorkbookError, match=r"HAM10000_metadata\.csv"):
        load_dataset("HAM10000", ham_root)


def test_unknown_data_set_lists_the_known():
    with pytest.raises(WorkbookValueError, match=r"Unknown dataset 'HAM1000'. Did you mean 'HAM10000'"):
        load_dataset("HAM1000")


# --- ISIC-2018 Task 3 ---


@pytest.fixture
def isic_root(tmp_path, shared_ham):
    root = tmp_path / "isic"
    images = load_dataset("HAM10000", shared_ham)
    names = [c.upper() for c in ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")]
    for part, rows in (
        ("Training", images.rows.iloc[:70]),
        ("Validation", images.rows.iloc[70:84:2]),
        ("Test", images.rows.iloc[71:84:2]),
    ):
        (root / f"ISIC2018_Task3_{part}_Input").mkdir(parents=True)
        table = pd.DataFrame(0.0, index=rows["image_id"], columns=names)
        for row in rows.itertuples():
            table.loc[row.image_id, images.classes[row.label].upper()] = 1.0
            target = root / f"ISIC2018_Task3_{part}_Input" / f"{row.image_id}.jpg"
            target.write_bytes(Path(row.path).read_bytes())
        table.rename_axis("image").to_csv(root / f"ISIC2018_Task3_{part}_GroundTruth.csv")
    lesions = (
        images.rows[["image_id", "group"]]
        .set_axis(["image", "lesion_id"], axis=1)
        .assign(diagnosis_confirm_type="histo")
    )
    lesions.head(70).to_csv(root / "ISIC2018_Task3_Training_LesionGroupings.csv", index=False)
    return root


def test_isic_reads_truth_groupings_and_its_own_parts(isic_root, shared_ham):
    images = load_dataset("isic-2018-task-3", isic_root)
    assert images.rows["part"].value_counts().to_dict() == {"train": 70, "val": 7, "test": 7}
    truth = load_dataset("HAM10000", shared_ham).rows.set_index("image_id")
    for row in images.rows.itertuples():
        assert row.label == truth.loc[row.image_id, "label"]
        assert row.group == (truth.loc[row.image_id, "group"] if row.part == "train" else row.image_id)


def test_isic_leaves_out_a_part_without_images(isic_root):
    for path in isic_root.glob("ISIC2018_Task3_Test_Input/*"):
        path.unlink()
    assert set(load_dataset("isic-2018-task-3", isic_root).rows["part"]) == {"train", "val"}


def test_isic_truth_may_have_passed_through_an_excel_with_decimal_commas(isic_root):
    before = load_dataset("isic-2018-task-3", isic_root)
    path = isic_root / "ISIC2018_Task3_Training_GroundTruth.csv"
    path.write_text(path.read_text().replace(",", ";").replace(".", ","))
    pd.testing.assert_frame_equal(load_dataset("isic-2018-task-3", isic_root).rows, before.rows)


def test_isic_rows_must_be_one_hot(isic_root):
    path = isic_root / "ISIC2018_Task3_Training_GroundTruth.csv"
    table = pd.read_csv(path)
    table.loc[4, ["MEL", "NV"]] = 1.0
    table.to_csv(path, index=False)
    with pytest.raises(WorkbookValueError, match=r"row 6: image 'ISIC_0000004' must have a single 1\.0"):
        load_dataset("isic-2018-task-3", isic_root)


def groupings(root, change_table):
    path = root / "ISIC2018_Task3_Training_LesionGroupings.csv"
    change_table(pd.read_csv(path, dtype=str)).to_csv(path, index=False)


def test_isic_ids_with_a_suffix_are_ids(isic_root):
    wanted = load_dataset("isic-2018-task-3", isic_root).rows["group"].tolist()
    groupings(isic_root, lambda table: table.assign(image=table["image"] + ".jpg"))
    assert load_dataset("isic-2018-task-3", isic_root).rows["group"].tolist() == wanted
    for path in isic_root.glob("*GroundTruth.csv"):
        table = pd.read_csv(path, dtype=str)
        table.assign(image="images\\" + table["image"] + ".JPG").to_csv(path, index=False)
    assert load_dataset("isic-2018-task-3", isic_root).rows["group"].tolist() == wanted


def test_isic_groupings_of_other_images_are_an_error_and_of_some_are_told(isic_root, caplog):
    groupings(isic_root, lambda table: table.head(60))
    load_dataset("isic-2018-task-3", isic_root)
    assert "10 of 70 images have no lesion_id" in caplog.text
    groupings(isic_root, lambda table: table.assign(image="X" + table["image"]))
    with pytest.raises(WorkbookValueError, match="Groupings.csv tells the lesion of none of the 84 images: it lists X"):
        load_dataset("isic-2018-task-3", isic_root)


def test_isic_groupings_that_stand_there_twice_are_an_error(isic_root):
    groupings(isic_root, lambda table: pd.concat([table, table.head(1)]))
    load_dataset("isic-2018-task-3", isic_root)
    groupings(isic_root, lambda table: pd.concat([table, table.head(1).assign(lesion_id="HAM_9")]))
    with pytest.raises(WorkbookValueError, match="image 'ISIC_0000000' stands there a second time"):
        load_dataset("isic-2018-task-3", isic_root)


def test_isic_test_set_as_dataverse_gives_it(isic_root):
    path = isic_root / "ISIC2018_Task3_Test_GroundTruth.csv"
    truth = load_dataset("isic-2018-task-3", isic_root).rows.query("part == 'test'")
    table = (
        pd.read_csv(path, index_col="image").idxmax(axis=1).str.lower().rename_axis("image_id").reset_index(name="dx")
    )
    table.assign(lesion_id="HAMTEST_" + table.index.astype(str)).to_csv(path, index=False)
    again = load_dataset("isic-2018-task-3", isic_root).rows.query("part == 'test'")
    assert again[["image_id", "label"]].equals(truth[["image_id", "label"]])
    assert again["group"].tolist() == [f"HAMTEST_{i}" for i in range(7)]


# --- folders, digits, one's own ---


def test_digits_are_written_once_as_a_folder_of_class_folders(tmp_path):
    (tmp_path / "digits").mkdir()  # an empty folder may be filled
    images = load_dataset("digits", tmp_path / "digits")
    assert (len(images.rows), len(images.classes)) == (1797, 10)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "digits").rglob("*.png")}
    load_dataset("digits", tmp_path / "digits")
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "digits").rglob("*.png")}


def test_an_image_folder_and_its_mistakes(tmp_path):
    with pytest.raises(WorkbookFileError, match="at least two"):
        load_dataset("imagefolder", tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "cat" / "1.png")
    with pytest.raises(WorkbookFileError, match="dog holds no image"):
        load_dataset("imagefolder", tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "dog" / "1.png")
    assert load_dataset("imagefolder", tmp_path).rows["image_id"].tolist() == ["cat/1.png", "dog/1.png"]


def class_folders(root, names=("cat", "dog"), images=2):
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(images):
            Image.new("RGB", (8, 8)).save(root / name / f"{number}.png")
    return root


def test_folders_of_parts_are_the_sets_own(tmp_path):
    for part in ("train", "Valid", "test"):
        class_folders(tmp_path / part, images=3 if part == "train" else 1)
    images = load_dataset("imagefolder", tmp_path)
    assert images.classes == ("cat", "dog")
    assert images.rows["part"].value_counts().to_dict() == {"train": 6, "val": 2, "test": 2}
    assert "Valid/dog/0.png" in images.rows["image_id"].tolist()
    assert split_rows(images, "official").equals(images.rows["part"])
    (tmp_path / "README files").mkdir()
    with pytest.raises(
        WorkbookFileError, match="holds .*Valid.*, which are parts of a set, and beside them README files"
    ):
        load_dataset("imagefolder", tmp_path)
    (tmp_path / "README files").rename(tmp_path / "Training")
    with pytest.raises(WorkbookFileError, match="beside them (Training|train): move"):
        load_dataset("imagefolder", tmp_path)


@pytest.mark.parametrize(
    ("train", "test"), [("Training", "Testing"), ("training_set", "test_set"), ("train-images", "testset")]
)
def test_parts_may_be_called_in_other_words_and_nested_as_archives_are(train, test, tmp_path):
    for part in (train, test):
        class_folders(tmp_path / "archive" / "a set" / part)
    images = load_dataset("imagefolder", tmp_path)
    assert (images.classes, set(images.rows["part"])) == (("cat", "dog"), {"train", "test"})
    assert f"{test}/cat/0.png" in images.rows["image_id"].tolist()


def test_a_folder_of_masks_beside_one_of_images_is_no_class(tmp_path):
    for kind in ("images", "masks"):
        class_folders(tmp_path / kind)
    with pytest.raises(WorkbookFileError, match="holds images and masks, which are no classes: give .*images"):
        load_dataset("imagefolder", tmp_path)
    assert load_dataset("imagefolder", tmp_path / "images").classes == ("cat", "dog")


@pytest.mark.parametrize("names", [("control", "test"), ("bus", "car", "train"), ("val", "test")])
def test_a_class_may_be_called_as_a_part_is(tmp_path, names):
    images = load_dataset("imagefolder", class_folders(tmp_path, names))
    assert images.classes == tuple(sorted(names))
    assert set(images.rows["part"]) == {""}


def test_of_several_tables_the_one_of_the_very_name_is_read(ham_root, caplog):
    table = pd.read_csv(ham_root / "HAM10000_metadata.csv")
    for copy in ("HAM10000_metadata (old).csv", "HAM10000_metadata - Copy.csv", "HAM10000_metadata_v1.csv"):
        table.assign(dx="nv").to_csv(ham_root / copy, index=False)
    assert set(load_dataset("HAM10000", ham_root).counts) == {12}
    (ham_root / "backup").mkdir()
    table.assign(dx="nv").to_csv(ham_root / "backup" / "ham10000_metadata.CSV", index=False)
    assert set(load_dataset("HAM10000", ham_root).counts) == {12}
    assert "backup/ham10000_metadata.CSV, of the same name, is not" in caplog.text
    (ham_root / "backup" / "ham10000_metadata.CSV").unlink()
    (ham_root / "HAM10000_metadata.csv").rename(ham_root / "HAM10000_metadata (1).csv")
    with pytest.raises(
        WorkbookFileError, match=r"no table HAM10000_metadata .* \(1\).csv, .*give the right one that name"
    ):
        load_dataset("HAM10000", ham_root)
    for copy in ("HAM10000_metadata (old).csv", "HAM10000_metadata - Copy.csv"):
        (ham_root / copy).unlink()
    assert set(load_dataset("HAM10000", ham_root).counts) == {12}


def test_images_without_a_lesion_are_lesions_of_their_own_and_told(ham_root, caplog):
    for row, word in enumerate(("", "NA", "nan", "Unknown")):
        change(ham_root, row, "lesion_id", word)
    groups = load_dataset("HAM10000", ham_root).rows["group"]
    assert groups[:6].tolist() == [f"ISIC_000000{i}" for i in range(4)] + ["HAM_0000002"] * 2
    assert "4 of 84 images have no lesion_id" in caplog.text


def test_ids_may_end_as_those_of_isic_2019_do(ham_root):
    path = next(ham_root.rglob("ISIC_0000000.jpg"))
    path.rename(path.with_name("ISIC_0000000_downsampled.jpg"))
    change(ham_root, 0, "image_id", "ISIC_0000000_downsampled")
    images = load_dataset("HAM10000", ham_root).rows
    assert images["image_id"][0] == "ISIC_0000000_downsampled"
    assert len(images) == 84


def test_fewer_classes_are_trained_on_and_told(ham_root, caplog):
    path = ham_root / "HAM10000_metadata.csv"
    table = pd.read_csv(path)
    table[table["dx"].isin(["nv", "bcc"])].to_csv(path, index=False)
    images = load_dataset("HAM10000", ham_root)
    assert images.counts.to_dict() == {"bcc": 12, "nv": 12}
    assert set(split_rows(images)) == {"train", "val", "test"}
    assert "no image of akiec, bkl, df, mel, vasc: its classes are bcc, nv" in caplog.text
    table[table["dx"] == "nv"].to_csv(path, index=False)
    alone = load_dataset("HAM10000", ham_root)  # to test on
    with pytest.raises(WorkbookValueError, match="images of the class 'nv' only"):
        split_rows(alone)


def test_registering_a_data_set_is_one_line(monkeypatch, shared_ham):
    def load_mine(root, name, skip_unreadable=False):
        rows = load_dataset("HAM10000", root).rows.iloc[:5]
        return ImageSet(name, ("a", "b"), rows)

    monkeypatch.setitem(DATASETS, "mine", Dataset(load_mine, "natural", 32))
    assert load_dataset("mine", shared_ham).name == "mine"


def test_limit_keeps_lesions_whole_and_classes_in_proportion(shared_ham):
    everything = load_dataset("HAM10000", shared_ham)
    few = load_dataset("HAM10000", shared_ham, limit=42)
    assert set(few.counts) == {12}  # six lesions of two views are the floor
    assert (
        few.rows.groupby("group").size().eq(everything.rows.groupby("group").size()[few.rows["group"].unique()]).all()
    )
    with pytest.raises(WorkbookValueError, match="limit must be a whole number of at least 1, not 0"):
        load_dataset("HAM10000", shared_ham, limit=0)


def test_the_survey_finds_copies_sizes_and_views(ham_root):
    source = ham_root / "HAM10000_images_part_1" / "ISIC_0000000.jpg"
    (ham_root / "HAM10000_images_part_2" / "ISIC_0000001.jpg").write_bytes(source.read_bytes())
    images = load_dataset("HAM10000", ham_root)
    assert identical_images(images)["image_id"].tolist() == ["ISIC_0000000", "ISIC_0000001"]
    assert image_sizes(images).to_numpy().tolist() == [[40, 30, "RGB", 84]]
    assert views_per_lesion(images).to_dict() == {2: 42}


def test_the_fingerprint_follows_images_labels_and_groups(ham_root):
    before = load_dataset("HAM10000", ham_root).fingerprint()
    assert load_dataset("HAM10000", ham_root).fingerprint() == before
    change(ham_root, 0, "lesion_id", "HAM_0000001")
    assert load_dataset("HAM10000", ham_root).fingerprint() != before
