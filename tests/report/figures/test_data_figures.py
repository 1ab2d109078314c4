"""The figures on a data set: what is counted is counted, and pictures are what networks are shown of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib.data import ImageSet, in_full
from lib.report.figures import data_figures as figures
from lib.report.figures.style import PHANTOM_NOTE, class_legend, figure


@pytest.fixture
def images(tmp_path):
    """Three images of two lesions of the first class, one of the second; each ends in a banner of 10 pixels."""
    pixels = np.full((50, 30, 3), 90, np.uint8)
    pixels[-10:] = 255
    mask = np.zeros((50, 30), np.uint8)
    mask[10:30, 10:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    rows = pd.DataFrame({"image_id": list("abcd"), "label": [0, 0, 0, 1], "group": ["l1", "l1", "l2", "l3"]})
    rows = rows.assign(
        path=[str(tmp_path / f"{name}.png") for name in "abcd"], mask=str(tmp_path / "mask.png"), part=""
    )
    for path in rows["path"]:
        Image.fromarray(pixels).save(path)
    return ImageSet("made", ("first", "second", "empty"), rows, banner=10)


def test_classes_stand_by_their_number_of_images(images):
    (ax,) = figures.class_balance(images).axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["first", "second", "empty"]
    assert [[bar.get_height() for bar in bars] for bars in ax.containers] == [[3, 1, 0], [2, 1, 0]]
    assert [text.get_text() for text in ax.texts] == ["3", "1", "0", "2", "1", "0"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["images", "lesions"]


@pytest.mark.parametrize(("name", "first"), [("HAM10000", "mel: melanoma;"), ("isic-2018-task-3", "MEL: melanoma;")])
def test_what_abbreviations_mean_stands_at_the_foot_and_beside_examples(name, first, images):
    images = replace(images, name=name, classes=("mel", "nv", "other"), is_phantom=True)
    fig = figures.class_balance(images)
    *classes, phantom = fig.get_supxlabel().splitlines()
    assert " ".join(classes).startswith(first)
    assert "other" not in " ".join(classes)
    assert phantom == PHANTOM_NOTE
    texts = [text.get_text().replace("\n", " ") for ax in figures.examples(images, columns=2).axes for text in ax.texts]
    assert texts == [*in_full(name, ("mel", "nv")), "other"]


def test_the_foot_is_the_same_whoever_speaks_first():
    with figure(4, 2, phantom=True) as before:
        class_legend(before, ["a: b"])
    with figure(4, 2, phantom=True) as after:
        pass
    class_legend(after, ["a: b"])
    class_legend(after, [])
    assert before.get_supxlabel() == after.get_supxlabel() == f"a: b\n{PHANTOM_NOTE}"


def test_examples_and_views_are_cut_as_the_set_says(images):
    examples, views = figures.examples(images, columns=2), figures.repeated_views(images)
    for fig, count in ((examples, 3), (views, 2)):
        shown = [ax.images[0].get_array() for ax in fig.axes if ax.images]
        assert len(shown) == count
        assert all(picture.shape == (40, 30, 3) and picture.max() == 90 for picture in shown)  # no banner
        outlined = [ax for ax in fig.axes if ax.collections]
        assert len(outlined) == count
    assert [ax.get_title() for ax in views.axes if ax.images] == ["a", "b"]


def test_leaks_are_means_over_seeds_within_their_range(images):
    leaks = pd.DataFrame({"all": [0.2, 0.4], "first": [0.1, 0.1], "second": [0.0, 1.0], "empty": [0.0, 0.0]})
    (ax,) = figures.leak_bars(leaks, images).axes
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([30, 10, 50, 0])
    assert [text.get_text() for text in ax.texts] == ["30 %", "10 %", "50 %", "0 %"]
    spans = [(np.nanmin(line.get_ydata()), np.nanmax(line.get_ydata())) for line in ax.lines]
    assert np.allclose(spans, [(20, 40), (10, 10), (0, 100), (0, 0)])
