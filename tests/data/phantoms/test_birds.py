"""phantom-birds: CUB-200-2011's layout, kinds that only small parts tell, and the truth about where these are."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lib.data import DATASETS, load_dataset, load_parts, relative_boxes, split_rows
from lib.data.phantoms.bird_drawing import COLOURS, PARTS, SIDE
from lib.data.phantoms.birds import KINDS, bird, draw_birds
from lib.data.sets.cub import load_cub
from lib.errors import WorkbookFileError, WorkbookValueError

IMAGES = 400


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return draw_birds(tmp_path_factory.mktemp("data") / "phantom-birds", IMAGES)


@pytest.fixture(scope="module")
def birds(root):
    return load_cub(root, "phantom-birds")


def files_of(root):
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_the_real_sets_loader_reads_it(root, birds):
    assert birds.classes == tuple(KINDS)
    assert birds.counts.to_dict() == dict.fromkeys(KINDS, IMAGES // len(KINDS))
    assert birds.rows["part"].value_counts().to_dict() == {"train": 270, "test": 130}
    assert {Image.open(path).size for path in birds.rows["path"]} == {(SIDE, SIDE)}
    assert set(split_rows(birds, "official")) == {"train", "val", "test"}
    assert (root / "classes.txt").read_text().startswith("1 001.Alder_Phantom\n")


def test_it_loads_by_name_as_a_phantom(tmp_path):
    images = load_dataset("phantom-birds", tmp_path, limit=60)
    assert (images.name, images.is_phantom, DATASETS["phantom-birds"].built_in) == ("phantom-birds", True, True)
    assert len(images.rows) == 60


def test_no_colour_is_any_kinds_own_and_every_order_is_two_kinds():
    orders = Counter((marks.crown, marks.wing, marks.tail) for marks in KINDS.values())
    assert all(sorted(order) == sorted(COLOURS) for order in orders)  # the same three colours in every kind
    assert set(orders.values()) == {2}
    assert len(set(KINDS.values())) == len(KINDS)
    for detail in ("crown", "wing", "tail", "beak", "ring"):
        assert min(Counter(getattr(marks, detail) for marks in KINDS.values()).values()) >= 2


def test_colours_hardly_tell_the_kind(birds):
    pictures = np.stack([np.asarray(Image.open(path)) for path in birds.rows["path"]])
    codes = (pictures // 52).astype(int) @ [25, 5, 1]
    histograms = np.stack([np.bincount(code.ravel(), minlength=125) for code in codes]) ** 0.5
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    assert cross_val_score(probe, histograms, birds.rows["label"], cv=4).mean() < 0.25  # chance is 0.1


def test_parts_are_where_the_list_says(birds):
    """The colour at a visible part is its mark's: nearer to it than to the two other marks, in nine of ten."""
    parts, right = load_parts(birds), []
    for row in birds.rows.itertuples():
        picture, marks = np.asarray(Image.open(row.path)).astype(float), KINDS[birds.classes[row.label]]
        assert list(parts[row.image_id]) == list(PARTS)
        for name in ("crown", "wing", "tail"):
            x, y, visible = parts[row.image_id][name]
            if visible:
                seen = picture[int(y), int(x)] - picture[int(y), int(x)].mean()
                hues = {key: np.subtract(rgb, np.mean(rgb)) for key, rgb in COLOURS.items()}
                closest = max(hues, key=lambda key: seen @ hues[key] / np.linalg.norm(hues[key]))
                right.append(closest == getattr(marks, name))
    assert len(right) > 1000
    assert np.mean(right) > 0.9


def test_boxes_hold_the_parts_and_a_leaf_hides_some(birds):
    boxes, parts = relative_boxes(birds) * SIDE, load_parts(birds)
    hidden = 0
    for (x, y, width, height), image in zip(boxes, birds.rows["image_id"], strict=True):
        assert 20 < width <= SIDE
        assert 15 < height <= SIDE
        for part in parts[image].values():
            hidden += not part.visible
            assert not part.visible or (x - 3 <= part.x <= x + width + 3 and y - 3 <= part.y <= y + height + 3)
    assert 0.01 < hidden / (len(PARTS) * IMAGES) < 0.15


def test_birds_look_either_way_and_stand_anywhere(birds):
    parts = load_parts(birds).values()
    right = [p["beak"].x > p["tail"].x for p in parts if p["beak"].visible and p["tail"].visible]
    assert 0.4 < np.mean(right) < 0.6
    middle = [p["wing"] for p in parts if p["wing"].visible]
    assert np.std([p.x for p in middle]) > 6
    assert np.std([p.y for p in middle]) > 6


def test_same_seed_same_bytes_and_more_images_change_none(root, tmp_path):
    few = draw_birds(tmp_path / "few", 60)
    pictures = {name: content for name, content in files_of(few).items() if name.startswith("images/")}
    assert pictures.items() <= files_of(root).items()
    assert np.array_equal(bird("Elm_Phantom", 3).picture, bird("Elm_Phantom", 3).picture)
    assert not np.array_equal(bird("Elm_Phantom", 3).picture, bird("Elm_Phantom", 3, seed=1).picture)
    assert not np.array_equal(bird("Elm_Phantom", 3).picture, bird("Fir_Phantom", 3).picture)


def test_a_finished_set_stays_and_a_foreign_folder_is_left_alone(root, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert draw_birds(root, IMAGES) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert json.loads((root / "phantom.json").read_text())["name"] == "phantom-birds"
    with pytest.raises(WorkbookFileError, match="already holds"):
        draw_birds(root, IMAGES, seed=1)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WorkbookFileError, match="already holds something else"):
        draw_birds(tmp_path, IMAGES)


def test_bad_numbers_are_told(tmp_path):
    with pytest.raises(WorkbookValueError, match="59 images are too few .* ask for 60 or more"):
        draw_birds(tmp_path / "set", 59)
    with pytest.raises(WorkbookValueError, match="seed -1 is negative"):
        draw_birds(tmp_path / "set", 60, seed=-1)
    assert not list(tmp_path.iterdir())
