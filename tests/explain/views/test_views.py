"""What a view carries: equal to the arrays that it was given, small, and refused where arrays do not fit."""

import re
from pathlib import Path

import numpy as np
import pytest

from lib import inputs
from lib.errors import WorkbookValueError
from lib.explain import compare_maps, explore
from lib.explain.views.map_comparison import EVEN, outline
from lib.explain.views.packing import MOST_BYTES, Packed, pooled
from lib.inputs import NOTES
from lib.training import RunConfig
from tests.evaluation.made_images import images_of
from tests.helpers import unpacked

EVIL = "<script>alert(1)</script>"
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
ASKED = RNG.normal(size=(3, 2, 4, 5, 6, 7))  # [N, heads, rows, columns, h, w]


def read(view, layer: dict, index: int) -> np.ndarray:
    """Map number `index` of a layer, [h, w], from its range and its levels."""
    _, ranges, levels = unpacked(view)
    height, width = layer["grid"]
    start = layer["level"] + index * height * width
    low, high = ranges[layer["map"] + index]
    return low + (high - low) * levels[start : start + height * width].reshape(height, width) / 255.0


def test_every_map_can_be_read_back_within_half_a_level():
    gates = [RNG.random((3, 8, 8)), RNG.random((3, 2, 2))]
    view = explore(IMAGES, {"first": {"gate": gates}, "second": {"asked": ASKED}})
    data, ranges, _ = unpacked(view)
    assert [model["name"] for model in data["models"]] == ["first", "second"]
    half = (ranges[:, 1] - ranges[:, 0]).max() / 510 + 1e-6
    for gate, layer in zip(gates, data["models"][0]["kinds"][0]["layers"], strict=True):
        for image in range(3):
            np.testing.assert_allclose(read(view, layer, image), gate[image], atol=half)
    layer = data["models"][1]["kinds"][0]["layers"][0]
    assert layer["heads"] == ["mean of all", "1", "2"]
    assert layer["queries"] == {"rows": [0, 1, 2, 3], "columns": [0, 1, 2, 3, 4], "of": [4, 5]}
    with_mean = np.concatenate([ASKED.mean(1, keepdims=True), ASKED], 1)
    for index, at in enumerate(np.ndindex(3, 3, 4, 5)):  # image, head, row, column
        np.testing.assert_allclose(read(view, layer, index), with_mean[at], atol=half)


def test_a_map_without_differences_is_its_least_value():
    view = explore(IMAGES, {"": {"flat": np.full((3, 2, 2), 0.25)}})
    layer = unpacked(view)[0]["models"][0]["kinds"][0]["layers"][0]
    assert (read(view, layer, 1) == 0.25).all()


def test_maps_that_are_the_same_everywhere_but_for_rounding_are_told():
    maps = np.full((2, 6, 6), 0.1, np.float32)
    maps[0, 2, 2] += 1e-8
    maps[1, 2, 2] = 0.2
    view = compare_maps(np.zeros((2, 8, 8, 3), np.uint8), {"a": maps, "b": maps[::-1]}, texts={"b": ["", "said"]})
    panels = unpacked(view)[0]["panels"]
    assert [panel["texts"] for panel in panels] == [[EVEN, ""], ["", f"said {EVEN}"]]
    packed = Packed()
    packed.add(maps)
    assert [levels.max() for levels in packed.levels[0].reshape(2, -1)] == [0, 255]


def test_a_mimebundle_has_html_a_picture_and_its_words():
    view = explore(IMAGES, {"": {"gate": ASKED}}, caption=f"A gate {EVIL}", phantom=True)
    data, metadata = view._repr_mimebundle_()
    assert set(data) == {"text/html", "image/png", "text/plain"}
    assert data["image/png"].startswith(b"\x89PNG")
    assert metadata["image/png"]["alt"] == f"A gate {EVIL}"
    assert EVIL not in data["text/html"]
    assert "Phantom images" in data["text/html"]
    assert not re.search(r"(src|href)=\"(?!data:)|https?://(?!www.w3.org/2000/svg)|@import|url\(", data["text/html"])


def test_a_notebook_depends_on_the_scripts_of_its_views(monkeypatch, tmp_path):
    monkeypatch.setenv(NOTES, str(tmp_path / "notes"))
    monkeypatch.setattr(inputs, "_noted", set())
    assert explore(IMAGES, {"": {"gate": ASKED}}).html
    used = {"view.css", "view.js", "save.js", "explorer.js"}
    assert {Path(path).name for path in inputs.states(tmp_path / "notes")} == used


def test_what_does_not_fit_is_left_out_and_told():
    many = RNG.random((3, 2, 14, 14, 14, 14), dtype=np.float32)
    view = explore(IMAGES, {"": {"attention": [many] * 12}})
    data, _, levels = unpacked(view)
    layers = data["models"][0]["kinds"][0]["layers"]
    assert len(levels) <= MOST_BYTES
    assert len(view.html) < 900_000
    assert layers[-1]["name"] == "layer 12"
    assert layers[0]["heads"] == ["mean of all"]
    for words in ("one row and one column in 2", "single heads"):
        assert any(words in note for note in view.left_out)
        assert words in view.html
    kept = layers[-1]["queries"]["rows"]
    assert kept == [1, 4, 7, 10, 13] or kept == [1, 3, 5, 7, 9, 11, 13]
    np.testing.assert_allclose(read(view, layers[-1], 1), many[0].mean(0)[kept[0], kept[1]], atol=1 / 500)


def test_maps_that_do_not_fit_are_shown_as_means_of_cells_and_told():
    maps = {f"m{n}": RNG.random((3, 224, 224), dtype=np.float32) for n in range(12)}
    small = RNG.random((3, 7, 7), dtype=np.float32)
    views = compare_maps(IMAGES, {**maps, "small": small}), explore(IMAGES, {"": {**maps, "small": small}})
    for view, layers in zip(views, (layers_of_comparison, layers_of_explorer), strict=True):
        assert view.left_out == ["Maps shown at 112×112 of 224×224: each value is the mean of a cell."]
        assert view.left_out[0] in view.html
        found = layers(view)
        cells = maps["m3"][2].reshape(112, 2, 112, 2).mean((1, 3))
        np.testing.assert_allclose(read(view, found[3], 2), cells, atol=1 / 400)
        np.testing.assert_allclose(read(view, found[12], 2), small[2], atol=1 / 400)
        assert len(unpacked(view)[2]) <= MOST_BYTES


def layers_of_comparison(view) -> list[dict]:
    return [panel["place"] for panel in unpacked(view)[0]["panels"]]


def layers_of_explorer(view) -> list[dict]:
    return [kind["layers"][0] for kind in unpacked(view)[0]["models"][0]["kinds"]]


@pytest.mark.parametrize("side", [320, 1501])
def test_no_map_is_too_large_to_be_compared(side):
    view = compare_maps(IMAGES[:1], {f"m{n}": np.ones((1, side, 2 * side), np.float32) for n in range(6)})
    assert len(unpacked(view)[2]) <= MOST_BYTES
    assert f"of {side}×{2 * side}" in view.left_out[0]


def test_cells_are_even_where_they_do_not_divide_the_map():
    ramp = np.linspace(0, 1, 7, dtype=np.float32)[None, None].repeat(5, axis=1)
    found = pooled(ramp, 4)
    assert found.shape == (1, 3, 4)
    np.testing.assert_allclose(found + found[..., ::-1], 1)  # no side is favoured


def test_a_view_of_large_photographs_stays_small():
    y, x = np.mgrid[:1500, :2000]
    photographs = np.empty((24, 1500, 2000, 3), np.uint8)
    for n, photograph in enumerate(photographs):
        photograph[...] = np.stack([x // 8, y // 6, (x + y + 10 * n) % 256], -1)
    maps = np.stack([np.hypot(y[::4, ::4] - 700, x[::4, ::4] - 40 * n) for n in range(24)])
    for view in (compare_maps(photographs, {"a": maps, "b": -maps}), explore(photographs, {"": {"gate": maps}})):
        assert len(view.html) < 800_000
        assert len(unpacked(view)[0]["images"]) == 24


def test_images_are_left_out_and_told():
    many, gates = np.repeat(IMAGES[:1], 30, 0), np.ones((30, 2, 2))
    for view in (explore(many, {"": {"gate": gates}}), compare_maps(many, {"gate": gates}, texts={"gate": [""] * 30})):
        assert view.left_out == ["Left out: 6 of 30 images."]
        assert len(unpacked(view)[0]["images"]) == 24
    assert len(unpacked(view)[0]["panels"][0]["texts"]) == 24
    layers = [np.ones((3, 28, 28), np.float32)] * 300
    view = explore(IMAGES, {"": {"gate": layers}})
    assert view.left_out == ["Left out: 1 of 3 images."]
    assert [each["name"] for each in unpacked(view)[0]["images"]] == ["image 1", "image 2"]


def test_the_last_layer_stays_when_layers_are_left_out():
    layers = [np.full((1, 28, 28), n, np.float32) for n in range(700)]
    view = explore(IMAGES[:1], {"": {"gate": layers}})
    names = [layer["name"] for layer in unpacked(view)[0]["models"][0]["kinds"][0]["layers"]]
    assert names == [f"layer {n}" for n in range(2, 701, 2)]
    with pytest.raises(WorkbookValueError, match="fewer models or kinds"):
        explore(IMAGES[:1], {f"model {n}": {"gate": layer} for n, layer in enumerate(layers)})


@pytest.mark.parametrize(
    ("images", "maps", "names", "told"),
    [
        (IMAGES / 255, {"a": {"b": np.ones((3, 2, 2))}}, None, r"uint8 \[N, H, W, 3\], not float64"),
        (IMAGES[:0], {"a": {"b": np.ones((0, 2, 2))}}, None, r"not uint8 \[0, 20, 30, 3\]"),
        (IMAGES, {1: {2: np.ones((2, 2, 2))}}, None, r"'1 2' have the shape"),
        (IMAGES, {"a": {"b": np.ones((2, 2, 2))}}, None, r"'a b' have the shape \[2, 2, 2\]: for 3 images"),
        (IMAGES, {"a": {"b": np.ones((3, 2, 2, 2, 2))}}, None, r"\[N, heads, rows, columns, h, w\]"),
        (IMAGES, {"a": {"b": np.full((3, 2, 2), np.nan)}}, None, "'a b' hold numbers that are not finite"),
        (IMAGES, {"a": {"b": [np.ones((3, 2, 2)), np.ones(3)]}}, None, "'a b layer 2' have the shape"),
        (IMAGES, {}, None, "no maps to look at"),
        (IMAGES, {"a": {"b": []}}, None, "no maps to look at"),
        (IMAGES, {"a": {"b": np.ones((3, 2, 2))}}, ["x"], "1 names for 3 images"),
    ],
)
def test_the_explorer_refuses_what_does_not_fit(images, maps, names, told):
    with pytest.raises(WorkbookValueError, match=told):
        explore(images, maps, names)


MAPS = {"a": np.ones((3, 2, 2))}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"maps": {}}, "no maps to compare"),
        ({"maps": {"a": ASKED}}, r"'a' have the shape"),
        ({"probabilities": {"m": np.ones((3, 4))}, "classes": "xyz"}, r"'m' have the shape \[3, 4\].*\[3, 3\]"),
        ({"probabilities": {"m": np.full((3, 3), np.nan)}, "classes": "xyz"}, "finite"),
        ({"labels": [0, 1, 3], "classes": "xyz"}, r"numbers from 0 to 2, one an image, not \[0, 1, 3\]"),
        ({"masks": np.ones((3, 20, 30))}, r"bool \[3, H, W\]"),
        ({"texts": {"a": ["one"]}}, "'a' has 1 lines of text for 3 images"),
        ({"texts": {"b": ["one"] * 3}}, "Unknown panel 'b'"),
    ],
)
def test_the_comparison_refuses_what_does_not_fit(given, told):
    with pytest.raises(WorkbookValueError, match=told):
        compare_maps(IMAGES, **{"maps": MAPS} | given)


def test_the_true_class_is_among_the_bars():
    p = np.tile([0.3, 0.25, 0.2, 0.1, 0.08, 0.05, 0.02], (3, 1))
    view = compare_maps(IMAGES, MAPS, {"a": p, "other": p}, [f"c{i}" for i in range(7)], labels=[0, 5, 6])
    panels = {panel["name"]: panel for panel in unpacked(view)[0]["panels"]}
    assert [bar[0] for bar in panels["a"]["bars"][0]] == [0, 1, 2, 3, 4]
    assert panels["a"]["bars"][2][-1] == [6, 0.02]
    assert "place" not in panels["other"]


def test_test_images_tell_a_comparison_all_that_plain_pixels_need_to_be_told(tmp_path):
    masks = np.arange(4 * 32 * 32).reshape(4, 32, 32) % 3 == 0
    images = images_of(tmp_path, RunConfig(dataset="phantom-birds", image_size=32), masks=masks)
    maps, p = {"m": RNG.random((4, 8, 8))}, np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    names = ["A_Bird → A_Bird", "B_Bird → A_Bird", "A_Bird → B_Bird", "B_Bird → B_Bird"]
    told = {"classes": ["A_Bird", "B_Bird"], "labels": [0, 1, 0, 1], "masks": masks, "names": names, "phantom": True}
    view = compare_maps(images, maps, {"m": p})
    assert unpacked(view)[0] == unpacked(compare_maps(images.sharp, maps, {"m": p}, **told))[0]
    assert view.phantom
    assert [image["name"] for image in unpacked(compare_maps(images, maps))[0]["images"]] == images.names()
    assert unpacked(compare_maps(images, maps, masks=~masks))[0]["outlines"] == [outline(mask) for mask in ~masks]
    with pytest.raises(WorkbookValueError, match=r"'m' have the shape \[4, 3\].*\[4, 2\]"):
        compare_maps(images, maps, {"m": np.ones((4, 3))})


def test_an_outline_is_the_border_of_the_mask():
    mask = np.zeros((10, 20), bool)
    mask[2:5, 0:10] = True  # it touches the left side
    pieces = np.array(outline(mask))
    length = (np.abs(pieces[:, 2] - pieces[:, 0]) * 20 + np.abs(pieces[:, 3] - pieces[:, 1]) * 10).sum()
    assert length == pytest.approx(2 * (10 + 3))
    assert pieces[:, [0, 2]].min() == 0
    assert pieces[:, [0, 2]].max() == 0.5
    assert pieces[:, [1, 3]].min() == pytest.approx(0.2)
    assert pieces[:, [1, 3]].max() == 0.5
    assert outline(np.zeros((4, 4), bool)) == []
    assert len(outline(np.ones((1000, 3), bool))) > 100
