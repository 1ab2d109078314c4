"""Splits share no lesion, keep the classes' shares, and the leaky one says that it leaks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import REID_PARTS, EpochBatches, ImageSet, leak_share, mixed_seed, split_identities, split_rows
from lib.data.imageset import subset
from lib.data.sampling import SAMPLERS
from lib.data.sets.reid import reid_set
from lib.data.survey import leakage
from lib.errors import WorkbookValueError


def image_set(lesions_per_class, views, seed=0):
    """Random metadata: lesions_per_class[c] lesions of class c, each with 1…views images."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"I{c}-{lesion}-{view}", f"L{c}-{lesion}", c)
        for c, count in enumerate(lesions_per_class)
        for lesion in range(count)
        for view in range(rng.integers(1, views + 1))
    ]
    table = pd.DataFrame(rows, columns=["image_id", "group", "label"]).sample(
        frac=1, random_state=seed, ignore_index=True
    )
    return ImageSet(
        "random", tuple(f"c{i}" for i in range(len(lesions_per_class))), table.assign(path="", mask="", part="")
    )


@settings(max_examples=60, deadline=None)
@given(
    lesions=st.lists(st.integers(3, 60), min_size=2, max_size=8),
    views=st.integers(1, 6),
    seed=st.integers(0, 1000),
    val=st.floats(0.05, 0.4),
    test=st.floats(0.05, 0.4),
)
def test_no_lesion_stands_on_two_sides(lesions, views, seed, val, test):
    images = image_set(lesions, views, seed)
    parts = split_rows(images, "lesion", val, test, seed)
    assert parts.groupby(images.rows["group"]).agg(lambda p: len(set(p)) == 1).all()
    assert leak_share(images, parts) == 0
    assert set(parts) == {"train", "val", "test"}
    for part in ("train", "val", "test"):
        assert set(images.rows.loc[parts == part, "label"]) == set(range(len(lesions)))


def test_every_class_keeps_its_share():
    images = image_set([1000, 200, 50], views=3)
    parts = split_rows(images, "lesion", 0.1, 0.2)
    for label in range(3):
        own = parts[images.rows["label"] == label]
        assert (own == "test").mean() == pytest.approx(0.2, abs=0.03)
        assert (own == "val").mean() == pytest.approx(0.1, abs=0.03)


def test_the_split_depends_on_its_seed_alone():
    images = image_set([80, 40], views=2)
    again = split_rows(images, "lesion", seed=3)
    assert split_rows(images, "lesion", seed=3).equals(again)
    assert not split_rows(images, "lesion", seed=4).equals(again)


def test_the_image_level_split_leaks_and_says_so(caplog):
    images = image_set([300, 100], views=5)
    parts = split_rows(images, "image")
    assert leak_share(images, parts) > 0.4
    assert "LEAKY SPLIT" in caplog.text
    assert "are of a group, such as a lesion, that is in training too" in caplog.text
    table = leakage(images, "image", range(3))
    assert table["all"].between(0.4, 1).all()
    assert (leakage(images, "lesion", range(3))["all"] == 0).all()


def test_leak_share_by_hand():
    images = image_set([3, 3], views=1)
    images.rows["group"] = ["a", "a", "b", "b", "c", "c"]
    assert leak_share(images, pd.Series(["train", "test", "test", "test", "train", "train"])) == pytest.approx(1 / 3)


def test_the_official_split():
    images = image_set([10, 10], views=1)
    with pytest.raises(WorkbookValueError, match="random has no official parts; use split='lesion'"):
        split_rows(images, "official")
    own = images.rows.groupby("label").cumcount()  # of each class: six to train on, two to validate, two to test
    images.rows["part"] = np.select([own < 6, own < 8], ["train", "val"], "test")
    assert split_rows(images, "official").equals(images.rows["part"])
    mine = split_rows(images, "lesion", 0.3, 0.3)  # our own split leaves the challenge's other sets alone
    assert ((mine == "unused") == (images.rows["part"] != "train")).all()
    assert mine.value_counts().to_dict() == {"unused": 8, "train": 4, "val": 4, "test": 4}


def with_official_parts(images, *names):
    """Two thirds of each class's groups get the first name, the others the second: whole groups."""
    order = images.rows["group"].str.split("-").str[1].astype(int)
    images.rows["part"] = np.where(order % 3 < 2, *names)
    return images


def test_validation_is_held_out_of_the_official_train_part_where_there_is_none():
    images = with_official_parts(image_set([90, 60], views=4), "train", "test")
    parts = split_rows(images, "official", val_fraction=0.25, seed=1)
    assert ((parts == "test") == (images.rows["part"] == "test")).all()  # the official test part, and nothing else
    assert parts.groupby(images.rows["group"]).nunique().eq(1).all()
    for label in range(2):
        own = parts[(images.rows["label"] == label) & (images.rows["part"] == "train")]
        assert (own == "val").mean() == pytest.approx(0.25, abs=0.05)
    assert split_rows(images, "official", val_fraction=0.25, seed=1).equals(parts)
    assert not split_rows(images, "official", val_fraction=0.25, seed=2).equals(parts)
    with pytest.raises(WorkbookValueError, match="val_fraction=0"):
        split_rows(images, "official", val_fraction=0)


def test_a_small_class_of_the_official_train_part_keeps_an_image_on_either_side():
    images = with_official_parts(image_set([40, 3], views=1), "train", "test")
    parts = split_rows(images, "official", val_fraction=0.05)
    assert parts[images.rows["label"] == 1].value_counts().to_dict() == {"train": 1, "val": 1, "test": 1}


def test_an_official_split_needs_train_and_test():
    for first, second, missing in (("train", "val", "test"), ("val", "test", "train"), ("train", "", "test")):
        images = with_official_parts(image_set([9, 9], views=1), first, second)
        with pytest.raises(WorkbookValueError, match=f"random has no official {missing} part here; add its images"):
            split_rows(images, "official")


def test_images_outside_the_official_parts_are_not_used_by_the_official_split():
    images = with_official_parts(image_set([12, 12], views=1), "train", "test")
    images.rows.loc[[0, 5], "part"] = ""
    parts = split_rows(images, "official")
    assert parts.index[parts == "unused"].tolist() == [0, 5]


def test_a_limit_keeps_every_class_in_every_official_part():
    images = with_official_parts(image_set([60, 24], views=2), "train", "test")
    few = subset(images, 20)
    groups = few.rows.drop_duplicates("group").value_counts(["label", "part"])
    assert groups.to_dict() == {(label, part): 6 for label in (0, 1) for part in ("train", "test")}


def test_bad_settings_are_named():
    images = image_set([9, 9], views=1)
    with pytest.raises(WorkbookValueError, match=r"Unknown split 'leison'. Did you mean 'lesion'"):
        split_rows(images, "leison")
    with pytest.raises(WorkbookValueError, match="test_fraction=1.5"):
        split_rows(images, "lesion", 0.1, 1.5)
    with pytest.raises(WorkbookValueError, match="leave nothing to train on"):
        split_rows(images, "lesion", 0.5, 0.5)
    with pytest.raises(
        WorkbookValueError,
        match=r"Class 'c1' has no image in the \w+ part of random \(2 images in 2 groups in all; .*three groups",
    ):
        split_rows(image_set([9, 2], views=1), "lesion")


def test_samplers_weigh_as_they_say():
    labels = np.repeat([0, 1], [900, 100])
    share = {}
    for name in SAMPLERS:
        batches = EpochBatches(labels, 50, name, seed=0)
        drawn = []
        for epoch in range(20):
            batches.set_epoch(epoch)
            drawn += [i for batch in batches for i in batch]
        share[name] = np.mean(labels[drawn])
    # image weight × class size: none 100 of 1000; sqrt √100/(√900+√100); inverse ½; log by its formula
    log = np.array([900, 100]) * np.log1p(1000 / np.array([900, 100]))
    expected = {"none": 0.1, "sqrt": 0.25, "inverse": 0.5, "log": log[1] / log.sum()}
    assert share == pytest.approx(expected, abs=0.01)


def test_an_epoch_without_weights_shows_every_image_once_and_epochs_differ():
    batches = EpochBatches(np.zeros(100, int), 10, "none", seed=1)
    first = [i for batch in batches for i in batch]
    assert sorted(first) == list(range(100))
    assert [i for batch in batches for i in batch] == first
    batches.set_epoch(1)
    assert [i for batch in batches for i in batch] != first


def test_a_last_batch_of_one_is_dropped():
    batches = EpochBatches(np.zeros(33, int), 16, "none")
    assert [len(b) for b in batches] == [16, 16] == [16] * len(batches)
    assert len(EpochBatches(np.zeros(5, int), 16, "none")) == 1


# --- re-identification ---


def reid_images(people, seed=0):
    """people[i] = images of training identity i in cameras 1, 2, …; and two test identities, junk and a distractor."""
    rows = [
        ("train", i + 1, camera + 1)
        for i, counts in enumerate(people)
        for camera, n in enumerate(counts)
        for _ in range(n)
    ]
    rows += [
        ("query", 900, 1),
        ("gallery", 900, 2),
        ("query", 901, 2),
        ("gallery", 901, 1),
        ("gallery", -1, 1),
        ("gallery", 0, 2),
    ]
    table = pd.DataFrame(rows, columns=["part", "identity", "camera"]).sample(
        frac=1, random_state=seed, ignore_index=True
    )
    table["image_id"] = [f"I{i}" for i in range(len(table))]
    return reid_set("people", table.assign(path=""))


@settings(max_examples=60, deadline=None)
@given(
    people=st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6).filter(any), min_size=4, max_size=30),
    val=st.floats(0.05, 0.6),
    seed=st.integers(0, 1000),
)
def test_held_out_identities_ask_once_a_camera_and_every_query_has_a_match(people, val, seed):
    images = reid_images(people, seed)
    try:
        parts = split_identities(images, val, seed)
    except WorkbookValueError as error:  # nobody who is held out was seen twice: told, never an empty part
        assert "was seen by two cameras" in str(error)  # noqa: PT017
        assert sum(sum(n > 0 for n in counts) > 1 for counts in people) <= len(people) - 2
        return
    rows = images.rows.assign(is_in=parts)
    official = rows["part"] != "train"
    assert rows.loc[official, "is_in"].equals(rows.loc[official, "part"])
    train, held = (rows[rows["is_in"].isin(names)] for names in (["train"], ["val_query", "val_gallery"]))
    assert not set(train["identity"]) & set(held["identity"])
    assert set(train["identity"]) | set(held["identity"]) == set(range(1, len(people) + 1))
    assert held["identity"].nunique() == min(max(2, round(val * len(people))), len(people) - 2)
    queries, gallery = (held[held["is_in"] == name] for name in ("val_query", "val_gallery"))
    assert not queries.duplicated(["identity", "camera"]).any()
    for query in queries.itertuples():
        assert ((gallery["identity"] == query.identity) & (gallery["camera"] != query.camera)).any()
    for identity, own in held.groupby("identity"):  # who could ask does
        several = own["camera"].value_counts()
        assert (len(several) > 1) == (identity in set(queries["identity"]))
        if len(several) > 1 and several.max() > 1:
            assert set(queries.loc[queries["identity"] == identity, "camera"]) == set(several.index[several > 1])


def test_the_split_of_identities_depends_on_its_seed_alone():
    images = reid_images([[3, 2, 2]] * 20)
    parts = split_identities(images, 0.2, seed=3)
    assert split_rows(images, "official", val_fraction=0.2, seed=3).equals(parts)
    assert not split_identities(images, 0.2, seed=4).equals(parts)
    assert set(parts) == set(REID_PARTS)
    assert parts.value_counts().to_dict()["val_query"] == 4 * 3


def test_identities_that_cannot_be_divided_are_told():
    with pytest.raises(WorkbookValueError, match="people has 1 identities; four are the least"):
        split_identities(reid_images([[3, 3]]))
    with pytest.raises(
        WorkbookValueError, match="None of the 2 identities .* was seen by two cameras; raise val_fraction"
    ):
        split_identities(reid_images([[3, 0]] * 6))
    with pytest.raises(WorkbookValueError, match="val_fraction=1"):
        split_identities(reid_images([[3, 3]] * 6), val_fraction=1)
    images = reid_images([[3, 3]] * 6)
    images.rows.loc[images.rows["part"] == "query", "part"] = ""
    with pytest.raises(WorkbookValueError, match="people has no official query part here"):
        split_identities(images)


@pytest.mark.parametrize(
    ("gallery", "message"),
    [
        ("identity == 900", "The gallery of people shows one identity: nothing can be confused"),
        ("identity == -1", "The gallery of people shows no identity"),
        ("identity < 900", "The gallery of people shows one identity"),  # a distractor
        ("identity != 901", None),
    ],
)
def test_a_gallery_that_measures_nothing_is_refused_before_training(gallery, message):
    images = reid_images([[3, 3]] * 6)
    images = replace(images, rows=images.rows.query(f"part != 'gallery' or {gallery}"))
    if message is None:
        assert set(split_identities(images)) == set(REID_PARTS)
    else:
        with pytest.raises(WorkbookValueError, match=message):
            split_identities(images)


@pytest.mark.parametrize("nobody", [-1, 0])
def test_a_query_that_is_junk_or_a_distractor_is_refused_before_training(nobody):
    images = reid_images([[3, 3]] * 6)
    images.rows.loc[images.rows["part"] == "query", "identity"] = nobody
    with pytest.raises(
        WorkbookValueError, match=rf"Query I\d+ of people has the identity {nobody}, but a query shows an identity"
    ):
        split_identities(images)


def test_queries_whose_gallery_knows_their_own_camera_only_are_refused_before_training():
    images = reid_images([[3, 3]] * 6)
    images.rows.loc[images.rows["part"].isin(["query", "gallery"]), "camera"] = 1
    with pytest.raises(WorkbookValueError, match="None of the 2 queries of people has a match in its gallery"):
        split_identities(images)


def test_where_no_camera_has_two_images_of_somebody_one_of_them_asks():
    images = reid_images([[1, 1, 1], [1, 0, 1], [5, 0, 0]] * 4)
    held = images.rows.assign(is_in=split_identities(images, 0.6)).query("is_in in ('val_query', 'val_gallery')")
    asks = held[held["is_in"] == "val_query"].groupby("identity").size()
    assert asks.to_dict() == {i: 1 for i in held["identity"] if i % 3 != 0}  # and who was seen by one camera never
    assert len(asks) < held["identity"].nunique()


@pytest.mark.parametrize("seed", [0, 20_261_231, 2**63 - 1])
def test_any_seed_mixes_with_an_epoch_and_a_batch(seed):
    mixed = mixed_seed(seed, 7, 3)
    assert mixed == ((seed * 1_000_003 + 7) * 1_000_003 + 3) % 2**64
    torch.Generator().manual_seed(mixed)  # which takes 64 bits
