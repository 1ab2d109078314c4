"""Accuracy on a part of the test images: of two classes, and of the pictures that are not ambiguous."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.data import load_dataset, load_parts
from lib.errors import WorkbookValueError
from lib.evaluation.part_accuracy import compare_on, compare_without, images_of, images_without
from lib.training import profile_config

CLASSES = ("a", "b", "c", "d")


def answered(labels, answers, ids=None):
    """A run with those answers to images of those labels, both numbers."""
    names = np.array(CLASSES)
    ids = [f"i{i}" for i in range(len(labels))] if ids is None else ids
    table = pd.DataFrame({"image_id": ids, "group": ids, "label": names[labels], "prediction": names[answers]})
    for k, name in enumerate(CLASSES):
        table[f"prob_{name}"] = (np.array(answers) == k).astype(float)
    return SimpleNamespace(predictions=table, classes=CLASSES, metrics={"test": {}})


def test_only_the_chosen_images_count():
    labels = np.arange(40) % 4
    good, bad = answered(labels, labels), answered(labels, np.where(labels < 2, labels, (labels + 1) % 4))
    first, second = images_of(good, ("a", "b")), images_of(good, ("c", "d"))
    assert (len(first), len(second)) == (20, 20)
    equal = compare_on([good, good], [bad, bad], first)
    assert (equal.difference, equal.low, equal.high, equal.images) == (0, 0, 0, 20)
    assert compare_on([good, good], [bad, bad], second).difference == 1
    with pytest.raises(WorkbookValueError, match="class 'e'"):
        images_of(good, ("e",))
    with pytest.raises(WorkbookValueError, match="None of these images is a test image"):
        compare_on([good], [bad], {"elsewhere"})


def test_clear_pictures_are_those_without_a_rival(tmp_path):
    config = profile_config("ambiguous", limit_images=120, data_root=str(tmp_path))
    images = load_dataset("phantom-ambiguous", tmp_path, limit=120)
    test = images.rows[images.rows["part"] == "test"]
    labels, ids = test["label"].to_numpy(), test["image_id"].tolist()
    clear = {image for image in ids if not load_parts(images)[image]["rival"].visible}
    right_where_clear = np.where([image in clear for image in ids], labels, (labels + 1) % 4)
    runs = [answered(labels, answers, ids) for answers in (labels, right_where_clear)]
    for run in runs:
        run.config = config
    assert images_without(runs[0], "rival") == clear
    assert 0 < len(clear) < len(ids) / 2
    assert compare_without(runs[:1], runs[1:], "rival").difference == 0
    with pytest.raises(WorkbookValueError, match="part 'rivl'"):
        images_without(runs[0], "rivl")
