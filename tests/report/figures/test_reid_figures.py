"""The figures on galleries, on the training of a search, and on where networks look on query and match."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib.data import ImageSet
from lib.evaluation.test_images import select_images
from lib.report.figures.reid_figures import gallery_members, maps_on_matches, search_curves, triplets_and_precision
from lib.report.figures.style import PHANTOM_NOTE
from lib.training import RunConfig
from lib.training.training_data import DecodedImages


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    seen = [("query", 1, 1), ("query", 1, 2), ("gallery", 1, 1), ("gallery", 1, 2), ("gallery", 1, 3)]
    seen += [("gallery", 2, 1), ("gallery", 0, 1), ("gallery", -1, 2), ("train", 3, 1)]
    rows = pd.DataFrame(seen, columns=["part", "identity", "camera"])
    rows["image_id"] = [f"i{i}" for i in rows.index]
    rows["path"] = [str(folder / f"{i}.png") for i in rows.index]
    for i, path in rows["path"].items():
        Image.new("RGB", (16, 32), (20 * i, 90, 90)).save(path)
    return ImageSet("people", ("1", "2", "3"), rows, is_phantom=True)


def drawn(fig):
    fig.canvas.draw()
    assert fig.get_supxlabel() == PHANTOM_NOTE
    return fig.axes


def test_a_gallery_is_told_apart_as_the_protocol_does(images):
    axes = drawn(gallery_members(images, 1, columns=3))
    said = [text.get_text() for ax in axes for text in ax.texts]
    assert said == [
        "queries of identity 1 (2)",
        "right for the query of c1 (2)",
        "not counted for it: seen by c1, too (1)",
        "not counted for anybody: junk (1)",
        "wrong for everybody: distractors (1)",
        "wrong: other identities (1)",
    ]
    assert [ax.get_title() for ax in axes[3:6]] == ["c2", "c3", ""]


def test_kinds_that_a_set_lacks_have_no_line(images):
    rows = images.rows[images.rows["identity"] > 0].reset_index(drop=True)
    fig = gallery_members(ImageSet("people", images.classes, rows), 1)
    assert len([text for ax in fig.axes for text in ax.texts]) == 4


def test_curves_are_those_of_the_log():
    log = pd.DataFrame({"epoch": [1, 2], "train_loss": [3.0, 2.0], "val_map": [0.2, 0.4], "val_cmc_1": [0.3, 0.5]})
    run = SimpleNamespace(log=log, metrics={"best_epoch": 2}, provenance={"is_phantom": True})
    axes = drawn(search_curves({"DCAL": run}))
    assert [ax.lines[0].get_ydata().tolist() for ax in axes] == [[3, 2], [0.2, 0.4], [0.3, 0.5]]
    assert all(ax.get_title(loc="left") and ax.get_xlabel() and ax.get_ylabel() for ax in axes)


def test_maps_stand_beside_their_images(images):
    config = RunConfig(dataset="phantom-people", image_size=64, image_width=32)
    prepared = DecodedImages(images, np.zeros((len(images.rows), 64, 32, 3), np.uint8), images.rows["part"])
    heat = np.random.default_rng(0).random((4, 4, 2))
    selected = (heat > 0.5).astype(float)
    few = select_images(config, prepared, ids=images.rows["image_id"][:4].tolist())
    axes = drawn(maps_on_matches(few, [*"abcd"], {"rollout": heat, "GLCA": selected}, 2))
    assert [ax.get_title() for ax in axes[:6]] == ["a\nc1", "rollout", "GLCA", "b\nc2", "rollout", "GLCA"]
    assert np.array_equal(axes[4].images[1].get_array(), heat[1])
    shown, dark = (axes[place].images[0].get_array() for place in (3, 5))
    kept = (shown == dark).all(axis=2)
    assert np.array_equal(kept[:: len(kept) // 4, :: kept.shape[1] // 2], selected[1] == 1)


def test_the_hardest_of_each_row_are_marked_and_the_precision_is_that_of_the_ranks():
    pictures, people = np.zeros((4, 8, 4, 3), np.uint8), np.array([1, 1, 2, 2])
    distances = np.array([[0, 5, 2, 3], [5, 0, 4, 1], [2, 4, 0, 6], [3, 1, 6, 0]], float)
    batch, search = drawn(
        triplets_and_precision(pictures, distances, people, np.array([True, False, False, True]), True)
    )
    farthest, nearest = (dots.get_offsets()[:, 0].tolist() for dots in batch.collections)
    assert farthest == [1, 0, 3, 2]
    assert nearest == [2, 3, 0, 1]
    assert search.lines[0].get_ydata().tolist() == pytest.approx([1, 1 / 2, 1 / 3, 2 / 4])
    assert search.lines[1].get_label() == "their mean, AP = 0.75"
