"""Accuracy on a part of the test images: of two classes."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.errors import WorkbookValueError
from lib.evaluation.part_accuracy import compare_on, images_of

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
