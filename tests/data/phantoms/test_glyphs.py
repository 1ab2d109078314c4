"""phantom-scales, phantom-ambiguous and phantom-clear: CUB-200-2011's layout, what decides and where, and who can read it."""

import numpy as np
import pytest
import torch
from PIL import Image

from lib import create_model
from lib.data import DATASETS, load_dataset, load_parts, relative_boxes, split_rows
from lib.data.phantoms import ambiguous, scales
from lib.data.phantoms.glyph_drawing import BARS, GLYPHS, HUES, TILE
from lib.errors import WorkbookFileError, WorkbookValueError
from tests.data.phantoms.brackets import linear_probe, patch_bag

MODULES = {"phantom-scales": scales, "phantom-ambiguous": ambiguous, "phantom-clear": ambiguous}
DRAW = {"phantom-scales": scales.scales, "phantom-ambiguous": ambiguous.ambiguous, "phantom-clear": ambiguous.clear}
SIDE = scales.SIDE
EACH = 180  # images of a kind for the brackets, every third of them to test on


@pytest.fixture(scope="module", params=MODULES)
def images(request, tmp_path_factory):
    return load_dataset(request.param, tmp_path_factory.mktemp("data"), limit=120)


def drawings(name):
    """Pictures [N, H, W, 3] and classes [N] of the training and of the test images, and the truths of the latter."""
    drawn = [DRAW[name](kind, number) for number in range(EACH) for kind in MODULES[name].KINDS]
    x, y = np.stack([each.picture for each in drawn]), np.arange(len(drawn)) % 4
    test = np.arange(len(drawn)) // 4 % 3 == 2
    return (
        (x[~test], y[~test]),
        (x[test], y[test]),
        [each for each, is_test in zip(drawn, test, strict=True) if is_test],
    )


@pytest.fixture(scope="module")
def of_scales():
    return drawings("phantom-scales")


@pytest.fixture(scope="module")
def of_ambiguous():
    return drawings("phantom-ambiguous")


def tiles_of(pictures):
    """[N, H, W, 3] → [N, 5, 5, TILE, TILE, 3], less the light of the picture."""
    light = np.median(pictures, axis=(1, 2), keepdims=True)
    return (pictures - light).reshape(-1, SIDE, TILE, SIDE, TILE, 3).swapaxes(2, 3)


def bars_of(tiles, names=BARS):
    """Which of the bars `names` is seen on each tile: [N, 5, 5]"""
    masks = np.stack([GLYPHS[name] - GLYPHS[name].mean() for name in names])
    masks = masks / np.linalg.norm(masks, axis=(1, 2), keepdims=True)
    return np.einsum("nrcyx, gyx -> nrcg", np.abs(tiles).sum(5), masks).argmax(3)


def hues_of(tiles):
    """How much of each of HUES is seen on each tile: [N, 5, 5, 3]"""
    hues = np.array(list(HUES.values())) - np.mean(list(HUES.values()), axis=1, keepdims=True)
    middle = tiles[..., 2:-2, 2:-2, :].mean((3, 4))
    return (middle - middle.mean(3, keepdims=True)) @ (hues / np.linalg.norm(hues, axis=1, keepdims=True)).T


def scales_oracle(pictures):
    """Who knows the glyphs counts turns one way and the other, and compares the two brightest discs."""
    tiles = tiles_of(pictures)
    bars, hues = bars_of(tiles, scales.TURNING), hues_of(tiles).reshape(len(pictures), SIDE**2, 3)
    turns = (bars[:, :, 1:] - bars[:, :, :-1]) % 4
    counts = [(turns == step).sum((1, 2)) for step in (1, 3)]
    discs = np.argsort(hues.max(2))[:, -2:]
    first, second = (np.take_along_axis(hues, discs[:, [i], None], 1)[:, 0].argmax(1) for i in (0, 1))
    has_discs = np.take_along_axis(hues.max(2), discs[:, :1], 1)[:, 0] > 15
    return np.where(has_discs, 2 + (first != second), counts[1] > counts[0])


def ambiguous_oracle(pictures):
    """Who knows the glyphs reads the bar that is most of the sky's hue."""
    hues = hues_of(tiles_of(pictures))
    sky = hues[:, 0].mean(1).argmax(1)
    of_sky = np.take_along_axis(hues, sky[:, None, None, None], 3)[:, 1:, :, 0].reshape(len(pictures), -1)
    return np.take_along_axis(
        bars_of(tiles_of(pictures))[:, 1:].reshape(len(pictures), -1), of_sky.argmax(1)[:, None], 1
    )[:, 0]


def test_the_real_sets_loader_reads_them(images):
    module = MODULES[images.name]
    assert (images.is_phantom, DATASETS[images.name].built_in) == (True, True)
    assert images.counts.to_dict() == dict.fromkeys(module.KINDS, 30)
    assert images.rows["part"].value_counts().to_dict() == {"train": 80, "test": 40}
    assert {Image.open(path).size for path in images.rows["path"]} == {(SIDE * TILE, SIDE * TILE)}
    assert set(split_rows(images, "official")) == {"train", "val", "test"}


def test_boxes_hold_the_parts_that_are_seen(images):
    parts = load_parts(images)
    for image, box in zip(images.rows["image_id"], relative_boxes(images) * SIDE * TILE, strict=True):
        seen = [part for part in parts[image].values() if part.visible]
        x, y = np.array([part.x for part in seen]), np.array([part.y for part in seen])
        np.testing.assert_allclose(box, [x.min() - 4, y.min() - 4, np.ptp(x) + 8, np.ptp(y) + 8])


def test_what_decides_on_scales_is_where_the_parts_are(of_scales):
    (_, _), (pictures, kinds), drawn = of_scales
    tiles = tiles_of(pictures)
    bars, hues = bars_of(tiles, scales.TURNING), hues_of(tiles)
    for each, kind, bar, hue in zip(drawn, kinds, bars, hues, strict=True):
        seen = {name: (x, y) for name, (x, y, visible) in each.parts.items() if visible}
        if scales.KINDS[kind] in scales.NEIGHBOURHOOD:
            assert set(seen) == set(scales.PARTS[:SIDE])
            runs = np.stack([bar[int(y) // TILE, int(x) // TILE - 1 : int(x) // TILE + 2] for x, y in seen.values()])
            assert (np.diff(runs, axis=1) % 4 == (1, 3)[kind]).mean() > 0.8
        else:
            assert set(seen) == set(scales.PARTS[SIDE:])
            (x, y), (u, v) = seen.values()
            assert max(abs(x - u), abs(y - v)) >= scales.APART * TILE
            assert min(hue[int(b) // TILE, int(a) // TILE].max() for a, b in seen.values()) > 15


def test_figures_stand_three_tiles_below_the_sky_and_one_picture_in_four_is_clear(of_ambiguous):
    drawn = of_ambiguous[2]
    rivals = [each.parts["rival"][2] for each in drawn]
    assert np.mean(rivals) == pytest.approx(0.75, abs=0.01)
    assert min(each.parts["figure"][1] for each in drawn) > 3 * TILE
    assert min(y for each in drawn for _, y, visible in each.parts.values() if visible) > 3 * TILE


def test_scales_are_bracketed(of_scales):
    """Who tells the halves apart and nothing else has 0.5. Who adds up tiles has two thirds of "same" and "different" at
    most (a pair of the two hues that it takes for same), and half of the rest: 0.583."""
    train, test, _ = of_scales
    probe, bag = linear_probe(train, test), patch_bag(train, test, TILE)
    assert 0.2 < probe < bag < 0.65
    assert (scales_oracle(test[0]) == test[1]).mean() > 0.95


def test_ambiguous_pictures_are_bracketed(of_ambiguous):
    """Who adds up tiles has half of the ambiguous pictures, and all of the clear quarter: 0.625."""
    train, test, _ = of_ambiguous
    probe, bag = linear_probe(train, test), patch_bag(train, test, TILE)
    assert 0.2 < probe < 0.5
    assert bag < 0.7
    assert (ambiguous_oracle(test[0]) == test[1]).mean() > 0.95


def test_clear_pictures_are_bracketed():
    """Nothing has to be brought together: who adds up tiles has them all, as far as it can tell the bars."""
    train, test, drawn = drawings("phantom-clear")
    assert not any(each.parts["rival"][2] for each in drawn)
    probe, bag = linear_probe(train, test), patch_bag(train, test, TILE)
    assert 0.25 < probe < 0.7 < bag
    assert (ambiguous_oracle(test[0]) == test[1]).mean() > 0.95


def test_the_control_shows_no_picture_of_the_task():
    """Its own seed: the clear pictures of phantom-ambiguous are other ones."""
    seen = {ambiguous.ambiguous(kind, 3).picture.tobytes() for kind in ambiguous.KINDS}
    assert not seen & {ambiguous.clear(kind, 3).picture.tobytes() for kind in ambiguous.KINDS}
    alike = [draw(ambiguous.KINDS[0], 3, seed=5).picture for draw in (ambiguous.ambiguous, ambiguous.clear)]
    np.testing.assert_array_equal(*alike)


def test_no_window_of_the_plain_network_holds_what_has_to_be_brought_together():
    """A position before the pooling sees its 3×3 tiles: not both discs, not a figure and the sky."""
    plain = create_model("resnet14_patches", num_classes=4, attn_type="none").eval()
    picture = torch.randn(1, 3, SIDE * TILE, SIDE * TILE, requires_grad=True)
    features = plain.net.layer4(plain.lower(picture))
    assert features.shape[2:] == (SIDE, SIDE)
    for row, column in np.ndindex(SIDE, SIDE):
        (gradient,) = torch.autograd.grad(features[0, :, row, column].sum(), picture, retain_graph=True)
        seen = gradient[0].abs().sum(0).reshape(SIDE, TILE, SIDE, TILE).sum((1, 3)) > 0
        rows, columns = (part.tolist() for part in torch.where(seen))
        assert max(abs(r - row) for r in rows) <= 1
        assert max(abs(c - column) for c in columns) <= 1
    assert scales.APART > 2
    assert min(ambiguous.GROUND_ROWS) > 2


@pytest.mark.parametrize("name", DRAW)
def test_same_seed_same_picture(name):
    draw, kinds = DRAW[name], MODULES[name].KINDS
    np.testing.assert_array_equal(draw(kinds[1], 3).picture, draw(kinds[1], 3).picture)
    assert (draw(kinds[1], 3).picture != draw(kinds[1], 3, 1).picture).any()
    assert (draw(kinds[1], 3).picture != draw(kinds[0], 3).picture).any()


@pytest.mark.parametrize("draw", [scales.draw_scales, ambiguous.draw_ambiguous, ambiguous.draw_clear])
def test_bad_numbers_and_foreign_folders_are_told(draw, tmp_path):
    with pytest.raises(WorkbookValueError, match="23 images are too few .* ask for 24 or more"):
        draw(tmp_path / "set", 23)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WorkbookFileError, match="already holds something else"):
        draw(tmp_path, 24)
