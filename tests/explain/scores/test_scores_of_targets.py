"""Scores of maps that explain what is no class: the target's own number stands where the class's probability does."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.resnet import Bottleneck, ResNet

from lib.errors import WorkbookValueError
from lib.explain import (
    Classes,
    DetectedBox,
    Similarity,
    deletion,
    explain,
    infidelity,
    leaderboard,
    max_sensitivity,
    random_logit,
    randomisation_check,
    rank_methods,
    road,
    score_maps,
)
from lib.explain.scores.robustness import local_lipschitz
from lib.lesa.detection import with_pyramid
from tests.explain.models import images, model_of
from tests.explain.scores.test_deletion_insertion import maps_of


def probability_of(k):
    return lambda logits: logits.softmax(0)[k]


SCORERS = {
    "deletion": lambda model, x, maps, targets: deletion(model, x, maps, targets, steps=3).area,
    "road": lambda model, x, maps, targets: road(model, x, maps, targets, shares=(0.3,)),
    "infidelity": lambda model, x, maps, targets: infidelity(model, x, maps, targets, samples=3),
}
EXPLAINING = {"max-sensitivity": max_sensitivity, "local Lipschitz": local_lipschitz}


@pytest.mark.parametrize("score", SCORERS)
def test_a_classs_probability_as_a_target_is_scored_as_the_class(score):
    model, x, maps = model_of("lesa"), images(3), maps_of()
    of_classes = SCORERS[score](model, x, maps, [1, 0, 1])
    one = probability_of(1)
    each = SCORERS[score](model, x, maps, [one, probability_of(0), one])
    np.testing.assert_allclose(each, of_classes, atol=1e-6)
    np.testing.assert_allclose(SCORERS[score](model, x, maps, one)[[0, 2]], of_classes[[0, 2]], atol=1e-6)


@pytest.mark.parametrize("score", EXPLAINING)
def test_maps_of_a_target_move_as_those_of_its_class(score):
    model, x = model_of("lesa"), images(2)
    of_target, of_class = (
        EXPLAINING[score](model, x, targets, "gradient-x-input", samples=2)
        for targets in ([Classes([2]), Classes([0])], [2, 0])
    )
    np.testing.assert_allclose(of_target, of_class, rtol=1e-3)


def test_likeness_is_scored_as_a_loop_over_pictures_does():
    model, x, maps = model_of("timm vit"), images(2), maps_of(2)
    target = Similarity.to(model, images(1, seed=5)[0])
    curves = deletion(model, x, maps, target, steps=2, batch_size=3).probabilities
    with torch.no_grad():
        half = torch.where((maps >= maps.flatten(1).median(1).values[:, None, None]).unsqueeze(1), 0, x)
        pictures = [x, half, torch.zeros_like(x)]
        expected = [[target(target.ask(model, p[i : i + 1])[0]).item() for p in pictures] for i in range(2)]
    np.testing.assert_allclose(curves[:, [0, 2]], np.array(expected)[:, [0, 2]], atol=1e-4)
    np.testing.assert_allclose(curves[:, 1], np.array(expected)[:, 1], atol=0.02)  # the median pixel
    assert randomisation_check(model, x, target, "gradient-x-input", stages=1).similarity.shape == (1, 2)


def test_a_box_of_a_detector_is_scored():
    torch.manual_seed(0)
    net = with_pyramid(ResNet(Bottleneck, [1, 1, 1, 1], width_per_group=8), 8)
    detector = MaskRCNN(net, num_classes=3, min_size=64, max_size=64, box_detections_per_img=4,
                        rpn_post_nms_top_n_test=20, box_score_thresh=0.0).eval()  # fmt: skip
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = detector(x)
    boxes = [DetectedBox(each["boxes"][0].tolist(), int(each["labels"][0])) for each in found]
    maps = {name: explain(detector, x, boxes, name) for name in ("gradient-x-input", "centre")}
    masks = np.zeros((2, 64, 64), dtype=bool)
    masks[:, 16:48, 16:48] = True
    scored = score_maps(detector, x, maps, boxes, masks, scores=["deletion", "energy inside"], steps=2)
    curves = deletion(detector, x, maps["centre"], boxes, steps=2).probabilities
    np.testing.assert_allclose(curves[:, 0], [each["scores"][0] for each in found], atol=1e-5)
    with torch.no_grad():
        gone = [box(detector(torch.zeros(1, 3, 64, 64))[0]).item() for box in boxes]
    np.testing.assert_allclose(curves[:, 2], gone, atol=1e-5)
    np.testing.assert_allclose(scored["centre"]["deletion"], (curves[:, 0] + 2 * curves[:, 1] + curves[:, 2]) / 4)


def test_numbers_beyond_a_probability_have_their_intervals():
    rng = np.random.default_rng(0)
    scored = {name: {"insertion": 7 + rng.normal(size=8)} for name in ("mine", "random", "centre")}
    table = leaderboard(scored, [str(i) for i in range(8)])
    assert ((table["low"] < table["mean"]) & (table["mean"] < table["high"])).all()
    assert rank_methods(scored, [str(i) for i in range(8)]).table["rank"].between(1, 3).all()


def test_of_a_single_answer_that_answer_counts():
    model, x, maps = nn.Sequential(model_of("lesa"), nn.Linear(4, 1)).eval(), images(2), maps_of(2)
    with torch.no_grad():
        expected = model(x)[:, 0]
    found = deletion(model, x, maps, steps=2).probabilities
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (Classes([9]), "There is no class 9"),
        ([Classes([1])], "3 images: give one target for all, or 3"),
        (lambda logits: logits, r"makes \[4\] of an image's answer"),
    ],
)
def test_targets_that_cannot_be(targets, message):
    with pytest.raises(WorkbookValueError, match=f"^[^\n]*{message}[^\n]*$"):
        score_maps(model_of("lesa"), images(), {"centre": maps_of()}, targets, scores=["deletion"])


def test_another_class_than_none_there_is_not():
    with pytest.raises(WorkbookValueError, match="^random logit compares [^\n]*leave it out[^\n]*$"):
        random_logit(model_of("lesa"), images(2), Classes([1]))
