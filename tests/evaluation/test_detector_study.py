"""Drawn scenes, three detectors that differ in their layers alone, and COCO's average precision of what they find."""

import numpy as np
import pytest
import torch

from lib.data.phantoms.scenes import draw_scenes
from lib.evaluation.detector_study import (
    LAYERS,
    average_precision,
    build_detector,
    detect,
    gates,
    interval,
    precision_table,
    train_detector,
)
from lib.lesa import LESA
from lib.lesa.layer import SelfAttention
from lib.report.figures.lesa_figures import detections

SCENES = draw_scenes(12)


def answers(scenes, change=lambda boxes: boxes):
    """What a detector would say that knows all; `change` moves its boxes."""
    return [
        {
            "boxes": change(torch.from_numpy(scene.boxes.copy())),
            "labels": torch.from_numpy(scene.labels) + 1,
            "scores": torch.linspace(0.9, 0.6, len(scene.labels)),
            "masks": torch.from_numpy(scene.masks)[:, None].float(),
        }
        for scene in scenes
    ]


def narrowed(boxes):
    """Of 0.72 of the width: their intersection over union."""
    boxes[:, 2] = boxes[:, 0] + 0.72 * (boxes[:, 2] - boxes[:, 0])
    return boxes


def test_a_scenes_boxes_are_those_of_its_masks_and_no_two_objects_meet():
    assert {label for scene in SCENES for label in scene.labels} == {0, 1, 2}
    for scene in SCENES:
        assert scene.masks.sum(axis=0).max() == 1
        for mask, (x, y, right, bottom) in zip(scene.masks, scene.boxes.astype(int), strict=True):
            assert mask[y:bottom, x:right].sum() == mask.sum() > 0
            assert mask[y].any()
            assert mask[:, right - 1].any()
    again = draw_scenes(3)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(SCENES, again, strict=False))


def test_average_precision_is_the_share_of_thresholds_that_are_met(monkeypatch):
    monkeypatch.setattr("lib.evaluation.detector_study.RESAMPLES", 20)
    whole = average_precision(SCENES, answers(SCENES))
    assert whole == pytest.approx(np.ones((2, 21)))
    assert average_precision(SCENES, answers(SCENES, narrowed))[:, 0] == pytest.approx(
        [0.5, 1]
    )  # 0.50 to 0.70 of 0.50 to 0.95
    assert average_precision(SCENES, answers(SCENES, narrowed), "segm")[0, 0] == pytest.approx(1)  # the masks are whole
    half = [*answers(SCENES[:6]), *[{name: each[:0] for name, each in found.items()} for found in answers(SCENES[6:])]]
    value, low, high = interval(average_precision(SCENES, half)[0])
    assert 0 < low < value < high < 1
    nothing = [{name: each[:0] for name, each in found.items()} for found in answers(SCENES)]
    assert not average_precision(SCENES, nothing).any()
    table = precision_table(SCENES, {"knows": answers(SCENES), "does not": nothing}, {"knows": 1.2, "does not": 0}).data
    assert table["AP, boxes"].tolist() == ["1.000 [1.000, 1.000]", "0.000 [0.000, 0.000]"]


@pytest.fixture(scope="module")
def detectors():
    return {name: build_detector(layer, 64) for name, layer in LAYERS.items()}


def test_the_detectors_differ_in_their_layers_alone(detectors):
    layers = [[type(m) for m in model.modules() if isinstance(m, SelfAttention)] for model in detectors.values()]
    assert layers[0] == []
    assert (set(layers[1]), set(layers[2])) == ({SelfAttention}, {LESA})
    assert len(layers[1]) == len(layers[2]) == 3
    stems = [model.backbone.body.conv1.weight for model in detectors.values()]
    assert all(torch.equal(stems[0], stem) for stem in stems[1:])


def test_a_detector_trains_finds_and_is_drawn(detectors):
    model = detectors["LESA"]
    before = model.backbone.body.layer4[0].conv2.gate[1].weight.detach().clone()
    assert train_detector(model, SCENES, steps=1, batch=2) > 0
    assert not torch.equal(before, model.backbone.body.layer4[0].conv2.gate[1].weight)
    found = detect(model, SCENES[:2])
    assert found[0]["masks"].shape[1:] == (1, 64, 64)
    omegas = gates(model, SCENES[:2])
    assert omegas.shape == (2, 8, 8)
    assert ((omegas > 0) & (omegas < 1)).all()
    fig = detections(SCENES[:2], {"LESA": found, "truth": answers(SCENES[:2])}, omegas)
    assert [text.get_text() for text in fig.axes[2].texts if "0.90" in text.get_text()] != []
