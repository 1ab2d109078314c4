"""What is true of the real files, where they are at hand: see *Facts of the files* in data/README.md."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from lib.data import ImageSet, leak_share, load_dataset, split_rows
from lib.data.survey import identical_images

WHOLE = 10_015  # images of HAM10000


@pytest.fixture(scope="module")
def ham(real_data) -> ImageSet:
    """HAM10000, or the whole lesions of it that are at hand."""
    return load_dataset("HAM10000", real_data("ham10000_200x150"))


def test_every_image_of_ham_has_a_mask_and_its_lesion_one_diagnosis(ham):
    rows = ham.rows
    assert len(rows) in (8_034, WHOLE)
    assert (rows["mask"] != "").all()
    assert (rows["group"] == rows["lesion_id"]).all()
    assert rows.groupby("group")["label"].nunique().max() == 1
    assert (rows.groupby("group")["localization"].nunique() == 2).sum() == 2
    assert not rows["image_id"].is_monotonic_increasing
    assert leak_share(ham, split_rows(ham)) == 0


def test_ages_of_ham_are_missing_as_empty_text_and_may_be_0(ham):
    ages = ham.rows["age"]
    known = pd.to_numeric(ages[ages != ""])
    assert set(known % 5) == {0}
    number = len(ham.rows)
    assert ((ages == "").sum(), (known == 0).sum()) == {8_034: (48, 33), WHOLE: (57, 39)}[number]


def test_two_pairs_of_images_of_ham_are_the_same_each_of_one_lesion(ham):
    copies = identical_images(ham)
    assert sorted(copies.groupby("content")["image_id"].apply(lambda ids: tuple(sorted(ids)))) == [
        ("ISIC_0024366", "ISIC_0029861"),
        ("ISIC_0024777", "ISIC_0029938"),
    ]
    assert copies.groupby("content")["group"].nunique().max() == 1


def test_masks_of_ham_come_in_two_modes_and_two_values(ham):
    modes = {row.image_id: Image.open(row.mask).mode for row in ham.rows.itertuples()}
    assert set(modes.values()) == {"L", "P"}
    palette = [image for image, mode in modes.items() if mode == "P"]
    assert len(palette) == {8_034: 327, WHOLE: 402}[len(ham.rows)]
    even = {"ISIC_0026042", "ISIC_0029819"}
    looked_at = {*palette[::8], *list(modes)[::100], *even}
    for row in ham.rows[ham.rows["image_id"].isin(looked_at)].itertuples():
        with Image.open(row.mask) as mask:
            values = set(np.unique(mask.convert("L")))
        assert values == ({255} if row.image_id in even else {0, 255}), row.image_id


def test_five_folds_of_ham_by_lesion_are_nearly_equal(ham):
    if len(ham.rows) != WHOLE:
        pytest.skip("the whole HAM10000 is not at hand")
    rows, df = ham.rows, ham.classes.index("df")
    folds = [test for _, test in StratifiedGroupKFold(5).split(rows, rows["label"], rows["group"])]
    assert sorted(map(len, folds)) == [2002, 2002, 2003, 2004, 2004]
    assert [(rows["label"].to_numpy()[test] == df).sum() for test in folds] == [23] * 5


def test_the_challenges_files_group_images_as_ham_does(ham, real_data):
    images = load_dataset("isic-2018-task-3", real_data("isic2018_task3"))
    assert set(images.rows["part"]) == {"train"}  # of the others there are no pictures
    both = images.rows.merge(ham.rows, on="image_id")
    assert len(both) > 30
    assert (both["group_x"] == both["group_y"]).all()
    assert (both["label_x"] == both["label_y"]).all()


@pytest.mark.parametrize(
    ("name", "folder", "images", "classes"),
    [
        ("HAM10000", "ham10000_600x450", 71, 7),
        ("CUB-200-2011", "CUB_200_2011", 60, 6),
        ("StanfordCars", "stanford_cars", 80, 10),
        ("oxford-iiit-pet", "oxford-iiit-pet", 36, 3),  # the list leaves out Abyssinian_34
        ("Caltech101", "caltech101", 126, 9),  # and BACKGROUND_Google
    ],
)
def test_samples_of_official_sets_are_read(real_data, name, folder, images, classes):
    found = load_dataset(name, real_data(folder))
    assert (len(found.rows), len(found.classes)) == (images, classes)
    assert found.unreadable == ()
