"""Market-1501, DukeMTMC-reID, MSMT17 and VeRi-776, small, in their official layouts."""

import pytest
from PIL import Image

from lib.data import DATASETS, load_dataset, split_rows
from lib.data.augmentation import AUGMENTATIONS
from lib.data.imageset import subset
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError

MARKET = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0002_c2s1_000776_01.jpg", "0007_c3s3_077419_03.jpg"],
    "query": ["0001_c1s1_001051_00.jpg", "0001_c2s1_000301_00.jpg"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "0000_c1s1_000151_01.jpg",
        "0001_c1s1_002401_02.jpg",
        "0001_c6s4_007477_01.jpg",
    ],
}


def pictures(base, files):
    for folder, names in files.items():
        (base / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (base / folder / name).parent.mkdir(exist_ok=True)
            Image.new("RGB", (8, 16), "red").save(base / folder / name)
    return base


@pytest.fixture
def market(tmp_path):
    base = pictures(tmp_path / "Market-1501-v15.09.15", MARKET)
    (base / "bounding_box_train" / "Thumbs.db").write_bytes(b"which the archive holds")
    return base


@pytest.mark.parametrize("name", ["Market-1501", "DukeMTMC-reID", "MSMT17", "VeRi-776"])
def test_they_are_registered_and_say_where_they_are(name, tmp_path):
    assert DATASETS[name].augmentation == "person"
    assert DATASETS[name].augmentation in AUGMENTATIONS
    (tmp_path / "something").mkdir()
    with pytest.raises(WorkbookFileError, match=rf"is no {name} data set: no .* in it.*data/README\.md"):
        load_dataset(name, tmp_path)


def test_market_tells_part_identity_and_camera(market):
    images = load_dataset("Market-1501", market.parent)
    assert images.classes == ("junk", "distractor", "0001", "0002", "0007")
    assert images.is_reid
    assert images.rows["part"].value_counts().to_dict() == {"gallery": 4, "train": 3, "query": 2}
    rows = images.rows.set_index("image_id")
    row = rows.loc["bounding_box_train/0007_c3s3_077419_03"]
    assert (row["identity"], row["camera"], images.classes[row["label"]], row["group"]) == (7, 3, "0007", "0007")
    assert rows.loc["query/0001_c2s1_000301_00", "group"] == rows.loc["bounding_box_test/0001_c6s4_007477_01", "group"]
    strays = rows[rows["identity"] <= 0]
    assert strays["identity"].tolist() == [-1, 0]
    assert strays["group"].tolist() == strays.index.tolist()  # they may show anybody: no one identity
    assert load_dataset("Market-1501", market).rows["image_id"].equals(images.rows["image_id"])


def test_a_name_that_tells_nothing_is_named(market):
    for wrong in ("0002_x1s1_000451_03.jpg", "copy of 0002_c1s1_000451_03.jpg"):
        pictures(market, {"query": [wrong]})
        with pytest.raises(
            WorkbookValueError, match=rf"query: the name '{wrong}' does not tell .* 0002_c1s1_000451_03"
        ):
            load_dataset("Market-1501", market)
        (market / "query" / wrong).unlink()


def test_a_suffix_twice_as_the_archive_has_it(market):
    pictures(market, {"query": ["1488_c1s6_023021_00.jpg.jpg"]})
    row = load_dataset("Market-1501", market).rows.query("identity == 1488").iloc[0]
    assert (row["camera"], row["part"]) == (1, "query")


def test_an_empty_part_is_named(market):
    for path in (market / "query").iterdir():
        path.unlink()
    with pytest.raises(WorkbookFileError, match="query holds no image, but Market-1501 has a part there"):
        load_dataset("Market-1501", market)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"bounding_box_train": ["0001_c1s1_001051_00.jpg"]},
            r"Identity 1 of Market-1501 is trained on \(bounding_box_train/0001_c1\S+\) and searched for \(query/0001_c1",
        ),
        (
            {"bounding_box_test": ["0007_c1s1_001051_00.jpg"]},
            r"Identity 7 of Market-1501 is trained on .*searched for \(bounding_box_test/0007_c1.*remove it",
        ),
        (
            {"bounding_box_train": ["-1_c1s1_001051_00.jpg"]},
            r"training image bounding_box_train/-1_c1s1_001051_00 of Market-1501 has the identity -1 .*leave it out",
        ),
        ({"bounding_box_train": ["0000_c1s1_001051_00.jpg"]}, "has the identity 0 .*leave it out of the train part"),
    ],
)
def test_who_must_not_be_trained_on_is_named(market, files, message):
    with pytest.raises(WorkbookValueError, match=message):
        split_rows(load_dataset("Market-1501", pictures(market, files)), "official")


def test_only_the_official_split_divides_identities(market):
    with pytest.raises(WorkbookValueError, match=r"Market-1501 is a re-identification set.*use split='official'"):
        split_rows(load_dataset("Market-1501", market), "lesion")


def test_duke_tells_identity_and_camera(tmp_path):
    base = pictures(
        tmp_path / "DukeMTMC-reID",
        {
            "bounding_box_train": ["0001_c2_f0046182.jpg", "0001_c5_f0051341.jpg"],
            "query": ["0005_c2_f0046985.jpg"],
            "bounding_box_test": ["0005_c1_f0059032.jpg", "7140_c8_f0146732.jpg"],
        },
    )
    rows = load_dataset("DukeMTMC-reID", base).rows
    assert rows[["part", "identity", "camera"]].to_numpy().tolist() == [
        ["train", 1, 2],
        ["train", 1, 5],
        ["query", 5, 2],
        ["gallery", 5, 1],
        ["gallery", 7140, 8],
    ]


@pytest.fixture
def veri(tmp_path):
    files = {
        "image_train": ["0001_c001_00016450_0.jpg", "0001_c002_00016460_0.jpg"],
        "image_query": ["0002_c002_00030600_0.jpg"],
        "image_test": ["0002_c002_00030600_0.jpg", "0002_c014_00030640_1.jpg"],
    }
    base = pictures(tmp_path / "VeRi", files)
    for part, names in files.items():
        (base / f"name_{part.split('_')[1]}.txt").write_text("\n".join(names) + "\n")
    return base


def test_veris_queries_stand_in_its_gallery_too(veri):
    images = load_dataset("VeRi-776", veri)
    assert images.rows["image_id"].is_unique
    assert images.rows["camera"].tolist() == [1, 2, 2, 2, 14]
    assert images.rows["identity"].tolist() == [1, 1, 2, 2, 2]


def test_veris_lists_count_where_they_are(veri):
    pictures(veri, {"image_test": ["0009_c001_00016450_0.jpg"]})
    assert len(load_dataset("VeRi-776", veri).rows) == 5
    (veri / "name_test.txt").unlink()
    assert len(load_dataset("VeRi-776", veri).rows) == 6
    (veri / "image_train" / "0001_c002_00016460_0.jpg").unlink()
    with pytest.raises(
        WorkbookFileError, match=r"name_train\.txt, row 2: no image file image_train/0001_c002_00016460_0"
    ):
        load_dataset("VeRi-776", veri)
    assert len(load_dataset("VeRi-776", veri, skip_unreadable=True).rows) == 5


@pytest.fixture(params=[("train", "test"), ("mask_train_v2", "mask_test_v2")], ids=["V1", "V2"])
def msmt(request, tmp_path):
    base = tmp_path / "MSMT17"
    lists = {
        "train": ["0000/0000_000_01_0303morning_0008_0.jpg 0", "0001/0001_000_07_0303noon_0037_1.jpg 1"],
        "val": ["0000/0000_001_15_0303morning_0008_0.jpg 0"],
        "query": ["0000/0000_000_01_0302morning_0008_0.jpg 0"],
        "gallery": ["0000/0000_004_05_0303morning_0536_0_ex.jpg 0", "0003/0003_004_05_0303morning_0536_0.jpg 3"],
    }
    for name, lines in lists.items():
        folder = request.param[name in ("query", "gallery")]
        pictures(base, {folder: [line.split()[0] for line in lines]})
        (base / f"list_{name}.txt").write_text("\n".join(lines) + "\n")
    return base


def test_msmt17s_people_of_training_and_test_are_others(msmt):
    images = load_dataset("MSMT17", msmt)
    assert images.rows[["part", "identity", "camera"]].to_numpy().tolist() == [
        ["train", 1, 1],
        ["train", 2, 7],
        ["train", 1, 15],
        ["query", 10_001, 1],
        ["gallery", 10_001, 5],
        ["gallery", 10_004, 5],
    ]
    assert images.rows["image_id"].is_unique
    assert images.classes == ("0001", "0002", "10001", "10004")


def test_bad_lines_of_msmt17_are_named(msmt):
    path = msmt / "list_query.txt"
    for line, message in (
        ("0000/0000_000_01_0302morning_0008_0.jpg", r"list_query\.txt, row 1: .* is not of the form 'file person'"),
        ("0000/0000.jpg 0", r"list_query\.txt, row 1: '0000/0000\.jpg' does not tell the camera"),
        ("0000/0000_000_01_0302morning_0008_0.jpg x", r"row 1: the person 'x' is not a number"),
        ("0000/0000_000_01_0302morning_0008_0.jpg 1.5", r"row 1: the person '1\.5' is not a whole number"),
    ):
        path.write_text(line + "\n")
        with pytest.raises(WorkbookError, match=message):
            load_dataset("MSMT17", msmt)
    path.unlink()
    with pytest.raises(WorkbookFileError, match=r"list_query\.txt is not a readable list"):
        load_dataset("MSMT17", msmt)


def test_a_limit_keeps_whole_identities_and_numbers_them_anew(tmp_path):
    files = {
        "bounding_box_train": [f"{i:04d}_c{c}s1_{i:06d}_01.jpg" for i in range(1, 41) for c in (1, 2, 3)],
        "query": [f"{i:04d}_c1s1_{i:06d}_00.jpg" for i in range(41, 81)],
        "bounding_box_test": [f"{i:04d}_c{c}s1_{i:06d}_01.jpg" for i in range(41, 81) for c in (2, 3)]
        + [f"0000_c1s1_{i:06d}_01.jpg" for i in range(40)],
    }
    images = load_dataset("Market-1501", pictures(tmp_path / "Market-1501", files))
    few = subset(images, 70)
    assert few.rows.drop_duplicates("group")["part"].value_counts().to_dict() == {
        "train": 10,
        "query": 10,
        "gallery": 10,
    }
    assert len(few.rows) == 70
    whole = images.rows[images.rows["group"].isin(few.rows["group"])]
    assert whole["image_id"].tolist() == few.rows["image_id"].tolist()
    assert len(few.classes) == 21
    assert all(few.classes[row.label] in (f"{row.identity:04d}", "distractor") for row in few.rows.itertuples())
