"""phantom-people: Market-1501's layout and protocol, people that clothes tell and cameras do not."""

import json

import numpy as np
import pytest
from PIL import Image

from lib.data import DATASETS, load_dataset, split_identities
from lib.data.phantoms.people import draw_people
from lib.data.phantoms.person_drawing import HEIGHT, WIDTH, camera, draw_nobody, draw_person, person
from lib.data.sets.reid import load_market
from lib.errors import WorkbookFileError, WorkbookValueError

IMAGES, CAMERAS = 320, 6


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "phantom-people", IMAGES)


@pytest.fixture(scope="module")
def people(root):
    return load_market(root, "phantom-people")


def files_of(root):
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_the_real_sets_loader_reads_it(root, people):
    assert {path.name for path in root.iterdir()} == {
        "bounding_box_train",
        "query",
        "bounding_box_test",
        "phantom.json",
    }
    assert abs(len(people.rows) - IMAGES) < 0.15 * IMAGES
    identities = people.rows[people.rows["identity"] > 0].groupby("part")["identity"].agg(set)
    assert len(identities["train"]) == len(identities["query"]) == IMAGES // 40
    assert identities["query"] == identities["gallery"]
    assert not identities["train"] & identities["query"]
    assert set(people.rows["camera"]) == set(range(1, CAMERAS + 1))
    assert {Image.open(path).size for path in people.rows["path"]} == {(WIDTH, HEIGHT)}


def test_it_loads_by_name_as_a_phantom(root, monkeypatch, tmp_path):
    (tmp_path / f"{IMAGES}-images").symlink_to(root)
    images = load_dataset("phantom-people", tmp_path, limit=IMAGES)
    entry = DATASETS["phantom-people"]
    assert (images.name, images.is_phantom, images.is_reid, entry.built_in) == ("phantom-people", True, True, True)
    assert entry.quick_size == (HEIGHT, WIDTH)


def test_queries_ask_once_a_camera_and_have_a_match(people):
    queries, gallery = (people.rows[people.rows["part"] == part] for part in ("query", "gallery"))
    assert not queries.duplicated(["identity", "camera"]).any()
    for query in queries.itertuples():
        assert ((gallery["identity"] == query.identity) & (gallery["camera"] != query.camera)).any()


def test_the_gallery_holds_junk_and_distractors_and_nothing_else_does(people):
    strays = people.rows[people.rows["identity"] <= 0]
    assert strays["identity"].value_counts().to_dict() == {-1: IMAGES // 20, 0: IMAGES // 20}
    assert set(strays["part"]) == {"gallery"}


def test_validation_can_be_held_out(people):
    parts = split_identities(people, 0.25)
    assert {"val_query", "val_gallery", "train", "query", "gallery"} == set(parts)


def test_somebody_is_more_like_herself_than_like_others_but_not_by_colour_alone(people):
    """Between cameras: figures in equal clothes are alike where they stand; histograms are the camera's."""
    rows = people.rows[people.rows["part"] == "train"]
    pictures = np.stack([np.asarray(Image.open(path)).astype(float) for path in rows["path"]])
    figure = pictures[:, 20:110, 20:44].reshape(len(rows), 18, 5, 4, 6, 3).mean((2, 4))
    figure = (figure - figure.mean((1, 2), keepdims=True)).reshape(len(rows), -1)
    unit = figure / np.linalg.norm(figure, axis=1, keepdims=True)
    alike = unit @ unit.T
    same = np.equal.outer(rows["identity"].to_numpy(), rows["identity"].to_numpy())
    other_camera = ~np.equal.outer(rows["camera"].to_numpy(), rows["camera"].to_numpy())
    assert alike[same & other_camera].mean() > alike[~same & other_camera].mean() + 0.2
    means = pictures.mean((1, 2))
    apart = np.linalg.norm(means[:, None] - means, axis=2)
    assert apart[same & other_camera].mean() > apart[~same & ~other_camera].mean()


def test_the_light_is_the_cameras():
    who = person(np.random.default_rng(0))
    first, second = (camera(np.random.default_rng([0, 1, number])) for number in (0, 1))
    seen = [
        np.mean([draw_person(who, by, np.random.default_rng(i)).mean((0, 1)) for i in range(8)], 0)
        for by in (first, second)
    ]
    assert np.abs(seen[0] - seen[1]).max() > 5
    empty = draw_nobody(first, np.random.default_rng(0))
    assert (empty.shape, empty.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)


def test_same_seed_same_bytes_and_more_images_change_nobody(root, tmp_path):
    few = files_of(draw_people(tmp_path / "few", 160))
    many = files_of(root)
    named = {name for name in few if "/0000_" not in name and "/-1_" not in name and name != "phantom.json"}
    assert len(named) > 100
    assert all(few[name] == many[name] for name in named)
    other = files_of(draw_people(tmp_path / "other", 160, seed=1))
    assert not set(few.values()) & set(other.values())


def test_a_finished_set_stays(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert draw_people(root, IMAGES) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert json.loads((root / "phantom.json").read_text())["seed"] == 0
    with pytest.raises(WorkbookFileError, match="already holds"):
        draw_people(root, IMAGES, seed=1)


def test_bad_numbers_are_told(tmp_path):
    with pytest.raises(WorkbookValueError, match="100 images are too few .* ask for 160 or more"):
        draw_people(tmp_path / "set", 100)
    with pytest.raises(WorkbookValueError, match="seed -1 is negative"):
        draw_people(tmp_path / "set", IMAGES, seed=-1)
    assert not list(tmp_path.iterdir())
