"""phantom-pairs and phantom-single: CUB-200-2011's layout, a relation and its control, and who can tell it."""

import numpy as np
import pytest
from PIL import Image

from lib.data import DATASETS, load_dataset, load_parts, relative_boxes, split_rows
from lib.data.phantoms.discs import (
    APART,
    DIRECTIONS,
    PAIRS,
    PAIRS_CLINIC,
    PERIOD,
    RADIUS,
    SAME,
    SIDE,
    SINGLE,
    discs,
    draw_discs,
)
from lib.errors import WorkbookFileError, WorkbookValueError
from tests.data.phantoms.brackets import linear_probe, patch_bag

TASKS = {task.name: task for task in (PAIRS, SINGLE, PAIRS_CLINIC)}


@pytest.fixture(scope="module", params=TASKS)
def images(request, tmp_path_factory):
    return load_dataset(request.param, tmp_path_factory.mktemp("data"), limit=90)


def drawn(task, each):
    """Pictures in grey, classes, and whether it is a test image, of `each` images of every class; and the truths."""
    every = [discs(task, kind, number) for number in range(each) for kind in task.kinds]
    pictures, kinds = np.stack([one.picture for one in every]).mean(3), np.arange(len(every)) % len(task.kinds)
    return pictures, kinds, np.arange(len(every)) // len(task.kinds) % 3 == 2, [one.parts for one in every]


def parts_of(task, each):
    pictures, kinds, test, _ = drawn(task, each)
    return (pictures[~test], kinds[~test]), (pictures[test], kinds[test])


def read(picture, place):
    """The direction of the grating at a place: the one of DIRECTIONS whose wave has most energy there."""
    y, x = np.mgrid[:SIDE, :SIDE] - np.array(place[1::-1])[:, None, None]
    seen = (picture - picture.mean()) * (np.hypot(x, y) < RADIUS)
    waves = [np.exp(2j * np.pi / PERIOD * (y * np.cos(a) - x * np.sin(a))) for a in DIRECTIONS.values()]
    return list(DIRECTIONS)[int(np.argmax([abs((seen * wave).sum()) for wave in waves]))]


def test_the_real_sets_loader_reads_them(images):
    task = TASKS[images.name]
    assert (images.is_phantom, DATASETS[images.name].built_in) == (True, True)
    assert images.counts.to_dict() == dict.fromkeys(task.kinds, 90 // len(task.kinds))
    assert images.rows["part"].value_counts().to_dict() == {"train": 60, "test": 30}
    assert {Image.open(path).size for path in images.rows["path"]} == {(SIDE, SIDE)}
    assert set(split_rows(images, "official")) == {"train", "val", "test"}


def test_who_reads_the_textures_where_the_list_says_knows_every_class(images):
    """The oracle: matched filters at the places that decide, on the files as they are."""
    listed, right = load_parts(images), []
    for row, box in zip(images.rows.itertuples(), relative_boxes(images) * SIDE, strict=True):
        parts, picture = listed[row.image_id], np.asarray(Image.open(row.path)).mean(2)
        textures = [read(picture, part) for part in parts.values()]
        kind = images.classes[row.label]
        right.append(textures[0] == kind if len(parts) == 1 else (textures[0] == textures[1]) == (kind == SAME))
        for x, y, visible in parts.values():
            assert visible
            assert box[0] - 0.1 <= x - RADIUS <= x + RADIUS <= box[0] + box[2] + 0.1
            assert box[1] - 0.1 <= y - RADIUS <= y + RADIUS <= box[1] + box[3] + 0.1
    assert np.mean(right) == 1


def test_a_relation_is_told_by_no_pixel_and_no_patch_and_the_control_by_a_patch():
    train, test = parts_of(PAIRS, 300)
    assert abs(linear_probe(train, test) - 0.5) < 0.1
    assert abs(patch_bag(train, test, 8) - 0.5) < 0.1
    train, test = parts_of(SINGLE, 150)
    assert linear_probe(train, test) < 0.45
    assert patch_bag(train, test, 8) > 0.7


def test_every_texture_is_as_often_in_either_class_and_everywhere():
    pictures, kinds, _, places = drawn(PAIRS, 300)
    read_there = np.array(
        [[read(x, place) for place in parts.values()] for x, parts in zip(pictures, places, strict=True)]
    )
    for kind in (0, 1):
        shares = [np.mean(read_there[kinds == kind] == name) for name in DIRECTIONS]
        assert max(shares) - min(shares) < 0.1
    middles = np.array([[place[:2] for place in parts.values()] for parts in places])
    assert np.hypot(*(middles[:, 0] - middles[:, 1]).T).min() >= APART
    assert (middles.std((0, 1)) > 5).all()


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_same_seed_same_picture(task):
    kind = task.kinds[0]
    np.testing.assert_array_equal(discs(task, kind, 3).picture, discs(task, kind, 3).picture)
    assert (discs(task, kind, 3).picture != discs(task, task.kinds[1], 3).picture).any()


def test_the_clinic_has_other_pictures_of_the_same_task():
    assert (PAIRS_CLINIC.kinds, PAIRS_CLINIC.textures) == (PAIRS.kinds, PAIRS.textures)
    assert discs(PAIRS_CLINIC, SAME, 3).parts != discs(PAIRS, SAME, 3).parts


def test_bad_numbers_and_foreign_folders_are_told(tmp_path):
    with pytest.raises(WorkbookValueError, match="11 images are too few .* ask for 12 or more"):
        draw_discs(PAIRS, tmp_path / "set", 11)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WorkbookFileError, match="already holds something else"):
        draw_discs(PAIRS, tmp_path, 12)
