"""Figures on explanations: what stands in them is what was given."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from lib.report.figures import explanation_figures as figures
from lib.training import RunConfig
from tests.evaluation.made_images import images_of

CONFIG = RunConfig(dataset="digits", image_size=32)


def test_every_method_has_its_picture_with_the_outline_of_the_object(tmp_path):
    maps = {f"m{i}": np.random.default_rng(i).random((1, 32, 32)) for i in range(7)}
    mask = np.zeros((1, 32, 32), bool)
    mask[:, 8:20, 8:20] = True
    fig = figures.methods_side_by_side(images_of(tmp_path, CONFIG, masks=mask, count=1), maps)
    assert [ax.get_title() for ax in fig.axes if ax.get_title()] == ["image", *maps]
    assert all(ax.collections for ax in fig.axes[:8])


def test_maps_of_the_answer_and_of_the_truth_stand_below_the_image(tmp_path):
    maps = np.zeros((3, 32, 32))
    fig = figures.by_target(images_of(tmp_path, CONFIG, count=3), ["a", "b", "c"], maps, maps)
    assert len(fig.axes) == 9
    assert [ax.get_title() for ax in fig.axes[:3]] == ["a", "b", "c"]


def test_the_leaderboard_fills_what_beats_the_reference():
    row = {"score": "insertion", "reference": "centre", "gain_low": 0.1, "gain_high": 0.3, "gain": 0.2}
    table = pd.DataFrame([row | {"method": "good", "beats": True}, row | {"method": "bad", "beats": False},
                          row | {"method": "centre", "beats": None}])  # fmt: skip
    (ax,) = [ax for ax in figures.leaderboard_gains(table, False).axes if ax.get_title(loc="left")]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["good", "bad"]
    dots = next(artist for artist in ax.collections if isinstance(artist, PathCollection))
    assert [to_hex(face) for face in dots.get_facecolors()] == [figures.BLUE, "#ffffff"]
    assert "centre" in ax.get_xlabel()


def test_the_matrix_tells_each_pair():
    table = pd.DataFrame([[1, -0.42], [-0.42, np.nan]], index=["a", "b"], columns=["a", "b"])
    ax = figures.agreement_matrix(table, False).axes[0]
    assert [t.get_text() for t in ax.texts] == ["1.0", "−0.4", "−0.4"]


def test_ranks_stand_by_score_the_best_method_above():
    table = pd.DataFrame([[1, 2.5], [2, 1.25]], index=["a", "b"], columns=["deletion", "entropy"])
    ax = figures.rank_matrix(table, True).axes[0]
    assert [t.get_text() for t in ax.texts] == ["1.0", "2.5", "2.0", "1.2"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_forgetting_begins_at_one():
    fig = figures.forgetting({"m": np.array([[0.4, 0.6], [0.0, 0.2]])}, ["fc", "conv1"], False)
    assert fig.axes[0].lines[0].get_ydata().tolist() == pytest.approx([1, 0.5, 0.1])


def masked_images(labels, classes, pixels):
    """Images of ten pixels, as many of which are the object's as `pixels` tells, each of a group of its own."""
    masks = np.arange(10) < np.array(pixels)[:, None, None]
    groups = np.arange(len(labels))
    facts = {"is_phantom": True, "config": SimpleNamespace(dataset="made")}
    return SimpleNamespace(labels=labels, groups=groups, classes=classes, masks=masks, **facts)


def test_shares_on_the_object_by_class():
    images = masked_images(np.array([0, 0, 1, 1, 2]), ["x", "y", "z"], [1, 3, 2, 2, 0])
    fig = figures.inside_by_class(images, {"m": np.array([0.6, 0.8, 0.7, 0.7, np.nan])})
    ax = fig.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x (2)", "y (2)"]  # no mask of z is known
    dots = [artist.get_offsets()[:, 0].tolist() for artist in ax.collections if isinstance(artist, PathCollection)]
    assert dots == [pytest.approx([20, 20]), pytest.approx([70, 70])]


LONG = "a_class_whose_name_has_no_end_and_which_nobody_can_tell_from_another_one"


def test_the_classes_with_the_most_images_are_shown_and_the_others_counted():
    labels = np.repeat(np.arange(15), np.arange(2, 17))
    pixels = np.where(labels == 14, 0, 2)  # many images, no mask
    classes = [*(f"c{k}" for k in range(13)), LONG, "unknown", "empty"]
    images = masked_images(labels, classes, pixels)
    ax = figures.inside_by_class(images, {"m": np.where(pixels, 0.2, np.nan)}).axes[0]
    named = [label.get_text() for label in ax.get_yticklabels()]
    assert named[:-1] == [f"c{k} ({k + 2})" for k in range(2, 13)]
    assert named[-1].endswith("(15)")
    assert max(map(len, named[-1].splitlines())) <= 30
    assert ax.get_title(loc="left") == "the 12 of 14 classes with the most images; 2 are left out"


def test_one_mistake_with_long_names_has_room_for_them_and_for_the_note_on_phantoms(tmp_path):
    maps = np.zeros((1, 32, 32))
    fig = figures.by_target(images_of(tmp_path, CONFIG, count=1), [f"{LONG} →\n{LONG}"], maps, maps)
    fig.canvas.draw()
    for text in (fig.axes[0].title, fig._supxlabel):
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.y1 <= fig.bbox.y1
        assert box.x1 <= fig.bbox.x1
    assert all(end in fig.axes[0].get_title() for end in (LONG[:10], "another_one"))


def test_an_even_map_has_no_similarity():
    found = figures.known_mean(np.array([[0.4, np.nan], [np.nan, np.nan]]))
    assert found[0] == pytest.approx(0.4)
    assert np.isnan(found[1])


def test_a_few_methods_are_worth_a_look():
    tried = ["grad-cam", "grad-cam++", "eigen-cam", "integrated-gradients", "glsa-global", "glsa-local", "glsa-fusion"]
    assert figures.worth_a_look(tried) == [
        "grad-cam",
        "glsa-global",
        "glsa-local",
        "glsa-fusion",
        "integrated-gradients",
    ]
    assert figures.worth_a_look(["grad-cam++", "rollout"]) == ["rollout", "grad-cam++"]
    drawn = np.random.default_rng(0).random((2, 8, 8))
    maps = dict.fromkeys(tried, drawn) | {"eigen-cam": 1 - drawn, "grad-cam++": drawn + 0.01}
    assert figures.worth_a_look(tried, maps) == ["grad-cam", "eigen-cam"]
