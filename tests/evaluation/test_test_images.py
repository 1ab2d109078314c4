"""cases_of: the classes take turns, and what is seen, answered and true stands in one order."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.errors import WorkbookValueError
from lib.evaluation.test_images import cases_of, in_turn, object_masks
from lib.training import RunStore, prepare


@pytest.fixture(scope="module")
def trained(finished):
    return finished, prepare(finished.config, RunStore(finished.path.parent))


def test_classes_take_turns():
    labels = np.array([0, 0, 0, 1, 2, 2, 9, 0])
    rows = np.array([0, 1, 3, 4, 5, 7])
    assert in_turn(labels, rows, 5).tolist() == [0, 3, 4, 1, 5]
    assert in_turn(labels, rows, 100).tolist() == [0, 3, 4, 1, 5, 7]


def test_cases_are_test_images_with_the_answers_of_the_run(trained):
    run, material = trained
    model, cases = cases_of(run, *material, 6)
    assert len(cases.labels) == len(cases.seen) == 6
    kept = run.predictions.set_index("image_id")
    classes = cases.images.classes
    for row, label, answer in zip(cases.images.rows.itertuples(), cases.labels, cases.answers, strict=True):
        assert kept.loc[row.image_id, "label"] == classes[label]
        assert kept.loc[row.image_id, "prediction"] == classes[answer]
    assert cases.names[0] == f"{classes[cases.labels[0]]} → {classes[cases.answers[0]]}"
    with torch.no_grad():
        assert np.allclose(model(cases.batch).softmax(1), cases.probabilities, atol=1e-6)
    assert cases.seen.shape == (6, *run.config.size, 3)
    assert cases.masks.shape == cases.seen.shape[:3]
    assert cases.masks.mean() == pytest.approx(20 * 15 / 1200, abs=0.02)  # of every image


def test_a_set_without_masks_has_boxes_or_nothing(trained):
    images = trained[1][0]
    bare = images.rows.assign(mask="")
    assert object_masks(replace(images, rows=bare), (32, 32), "none") is None


def test_no_image_is_an_error(trained):
    with pytest.raises(WorkbookValueError, match="count must be"):
        cases_of(trained[0], *trained[1], 0)
