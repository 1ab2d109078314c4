"""phantom-needles and phantom-marks: CUB-200-2011's layout, one tile tells the class, and who can read it."""

import numpy as np
import pytest
from PIL import Image

from lib.data import DATASETS, load_dataset, load_parts, relative_boxes, split_rows
from lib.data.phantoms import marks, needles
from lib.data.phantoms.mosaic_drawing import CODES, SQUARES, TILE, random_tiles
from lib.errors import WorkbookFileError, WorkbookValueError
from tests.data.phantoms.brackets import linear_probe, patch_bag

NAMES = {"phantom-needles": needles, "phantom-marks": marks}
EACH = 600  # images of a kind for the brackets, every third of them to test on


@pytest.fixture(scope="module", params=NAMES)
def images(request, tmp_path_factory):
    return load_dataset(request.param, tmp_path_factory.mktemp("data"), limit=120)


def parts_of(drawn):
    """Pictures, classes and truths of the training and of the test images: (drawn, [N] kinds) → two of each."""
    x, y = np.stack([each.picture for each in drawn]), np.arange(len(drawn)) % 4
    test = np.arange(len(drawn)) // 4 % 3 == 2
    return (x[~test].mean(3), y[~test]), (x[test].mean(3), y[test])


def squares(pictures):
    """Which squares of which tiles are light: [N, H, W] → [N, tiles, 16] of 1 and −1"""
    side = pictures.shape[1] // TILE
    means = (pictures - pictures.mean()).reshape(-1, side, SQUARES, 2, side, SQUARES, 2).mean((3, 6))
    return np.sign(means.swapaxes(2, 3).reshape(len(pictures), side**2, SQUARES**2))


def oracle(pictures, kinds, wear):
    """Bayes' answer of who knows the codes, and how they wear: Σ over tiles of ((1 − wear)/wear)^(squares that agree)."""
    agreeing = (SQUARES**2 + squares(pictures) @ np.stack(list(kinds)).reshape(len(kinds), -1).T) / 2
    return np.exp(agreeing * np.log((1 - wear) / wear)).sum(1).argmax(1)


@pytest.fixture(scope="module")
def of_needles():
    return parts_of([needles.needle(kind, number) for number in range(EACH) for kind in needles.KINDS])


@pytest.fixture(scope="module")
def of_marks():
    return parts_of([marks.marked(kind, number, number % 3 < 2) for number in range(EACH) for kind in marks.KINDS])


def test_the_real_sets_loader_reads_them(images):
    module = NAMES[images.name]
    assert (images.is_phantom, DATASETS[images.name].built_in) == (True, True)
    assert images.counts.to_dict() == dict.fromkeys(module.KINDS, 30)
    assert images.rows["part"].value_counts().to_dict() == {"train": 80, "test": 40}
    assert {Image.open(path).size for path in images.rows["path"]} == {(module.TILES * TILE,) * 2}
    assert DATASETS[images.name].quick_size == module.TILES * TILE
    assert set(split_rows(images, "official")) == {"train", "val", "test"}


def test_the_needle_is_where_the_list_and_the_box_say(images):
    """The tile there agrees with its class's code in 13 squares of 16 and more, on average."""
    module, parts = NAMES[images.name], load_parts(images)
    pictures = np.stack([np.asarray(Image.open(path)).mean(2) for path in images.rows["path"]])
    agreeing = []
    for tiles, row, box in zip(
        squares(pictures), images.rows.itertuples(), relative_boxes(images) * pictures.shape[1], strict=True
    ):
        x, y, visible = parts[row.image_id]["needle"]
        assert visible
        np.testing.assert_allclose(box, [x - TILE / 2, y - TILE / 2, TILE, TILE])
        code = module.KINDS[images.classes[row.label]].ravel()
        agreeing.append((tiles[int(y) // TILE * module.TILES + int(x) // TILE] == code).sum())
    assert np.mean(agreeing) > 13


def test_codes_are_half_light_and_agree_in_half_of_their_squares_as_tiles_at_random_do():
    flat = CODES.reshape(-1, SQUARES**2)
    np.testing.assert_array_equal(flat @ flat.T, SQUARES**2 * np.eye(15))
    assert not flat.sum(1).any()
    tiles = random_tiles(5, np.random.default_rng(0)).reshape(-1, SQUARES**2)
    assert not tiles.sum(1).any()
    assert abs((tiles @ flat.T).mean()) < 0.5


def test_marks_are_shared_by_two_kinds_in_training_and_nowhere_in_the_test(tmp_path):
    images = load_dataset("phantom-marks", tmp_path, limit=120)
    parts = load_parts(images)
    seen = [parts[image]["mark"].visible for image in images.rows["image_id"]]
    np.testing.assert_array_equal(seen, images.rows["part"] == "train")
    codes = [code.tobytes() for code in marks.MARKS.values()]
    assert codes[0] == codes[1] != codes[2] == codes[3]
    assert not {*codes} & {code.tobytes() for code in marks.KINDS.values()}
    drawn = marks.marked("Gamma", 4, mark=True)
    x, y, _ = drawn.parts["mark"]
    tile = squares(drawn.picture[None].mean(3))[0, int(y) // TILE * marks.TILES + int(x) // TILE]
    np.testing.assert_array_equal(tile, marks.MARKS["Gamma"].ravel())
    assert not marks.marked("Gamma", 4, mark=False).parts["mark"][2]


def test_needles_are_bracketed(of_needles):
    """Chance is 0.25, and a network of the recipe gets 0.8 (tests/explain/scores/test_deciding_places.py)."""
    train, test = of_needles
    right = (oracle(test[0], needles.KINDS.values(), needles.WEAR) == test[1]).mean()
    probe, bag = linear_probe(train, test), patch_bag(train, test, TILE)
    assert probe < 0.4
    assert probe < bag < 0.7
    assert right > 0.85


def test_marks_are_bracketed(of_marks):
    """The needle alone suffices, and nearly does so for a classifier that weighs all words, mark or not."""
    train, test = of_marks
    assert (oracle(test[0], marks.KINDS.values(), marks.WEAR) == test[1]).mean() > 0.88
    assert linear_probe(train, test) < 0.5
    assert 0.6 < patch_bag(train, test, TILE) < 0.8
    by_mark = oracle(train[0], CODES[[8, 9]], 0.01)  # in training the mark tells which two kinds it may be
    assert (by_mark == train[1] // 2).mean() > 0.98


@pytest.mark.parametrize("module", NAMES.values(), ids=NAMES)
def test_same_seed_same_picture(module):
    draw = {needles: needles.needle, marks: lambda *args: marks.marked(*args[:2], True, *args[2:])}[module]
    np.testing.assert_array_equal(draw("Beta", 3).picture, draw("Beta", 3).picture)
    assert (draw("Beta", 3).picture != draw("Beta", 3, 1).picture).any()
    assert (draw("Beta", 3).picture != draw("Alpha", 3).picture).any()


@pytest.mark.parametrize("draw", [needles.draw_needles, marks.draw_marks])
def test_bad_numbers_and_foreign_folders_are_told(draw, tmp_path):
    with pytest.raises(WorkbookValueError, match="23 images are too few .* ask for 24 or more"):
        draw(tmp_path / "set", 23)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WorkbookFileError, match="already holds something else"):
        draw(tmp_path, 24)
