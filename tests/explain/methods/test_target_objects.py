"""What is no class: several at once, likeness, boxes and masks, and the targets of pytorch-grad-cam."""

import pytest
import torch
import torchvision
from pytorch_grad_cam.utils.model_targets import (
    ClassifierOutputTarget,
    FasterRCNNBoxScoreTarget,
    SemanticSegmentationTarget,
)
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.resnet import Bottleneck, ResNet

from lib.errors import WorkbookValueError
from lib.explain import explain, methods_of
from lib.explain.methods.explain import scaled
from lib.explain.methods.target_layers import target_layer_of
from lib.explain.methods.target_objects import Classes, DetectedBox, DetectedMask, Similarity, embeddings_of
from lib.lesa.detection import with_pyramid
from lib.lesa.model import insert_lesa
from tests.explain.models import CLASSES, images, model_of

METHODS = ("grad-cam", "ablation-cam", "gradient-x-input", "integrated-gradients")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [Classes([2]), ClassifierOutputTarget(2)], ids=["ours", "grad-cam's"])
def test_a_target_of_one_class_is_that_class(method, target):
    if method == "ablation-cam":  # which takes the score, and of a class its probability
        model, x = nn.Sequential(model_of("vgg"), nn.Softmax(1)), images()
        logarithm = nn.Sequential(model_of("vgg"), nn.LogSoftmax(1))
        torch.testing.assert_close(explain(model.eval(), x, target, method), explain(logarithm.eval(), x, 2, method))
    else:
        model, x = model_of("vgg"), images()
        torch.testing.assert_close(explain(model, x, target, method), explain(model, x, 2, method))


def test_each_image_has_its_target():
    model, x, two = model_of("vgg"), images(4), Classes([2])
    objects = [two, ClassifierOutputTarget(1), two, lambda logits: logits[0]]
    expected = explain(model, x, [2, 1, 2, 0])
    torch.testing.assert_close(explain(model, x, objects, batch_size=2), expected, atol=1e-5, rtol=0)


def test_several_classes_are_the_sum_of_their_logits():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4)).eval(), images(2, side=8)
    weights = model[1].weight.view(4, 3, 8, 8)[[1, 3]].sum(0)
    expected = scaled((weights * x).sum(1).clamp(min=0), (8, 8))
    torch.testing.assert_close(explain(model, x, Classes([1, 3]), "gradient-x-input"), expected)


@pytest.mark.parametrize("method", ["grad-cam", "gradient-x-input", "rollout", "gradient-rollout", "glca-selection"])
def test_likeness_of_a_gallerys_picture_to_a_query(method):
    model, gallery, query = model_of("dcal"), images(2), images(1, seed=1)
    target = Similarity.to(model, query[0])
    assert target(model.embed(query)[0]).item() == pytest.approx(1)
    maps = explain(model, gallery, target, method)
    assert maps.amax((1, 2)).tolist() == [1, 1]
    alike = Similarity.to(model, gallery[0])
    assert torch.equal(maps, explain(model, gallery, alike, method)) != methods_of(model, target)[method].by_class


def test_the_gradient_of_likeness_is_that_of_the_cosine():
    model, x = model_of("timm vit"), images(2)
    target = Similarity.to(model, images(1, seed=1)[0])
    leaf = x.clone().requires_grad_()
    tokens = model.forward_features(leaf)[:, 0]
    cosine = nn.functional.cosine_similarity(tokens, target.query[None])
    (gradient,) = torch.autograd.grad(cosine.sum(), leaf)
    expected = scaled((gradient * x).sum(1).clamp(min=0), (32, 32))
    torch.testing.assert_close(explain(model, x, target, "gradient-x-input"), expected, atol=1e-4, rtol=1e-4)


def test_who_embeds_nothing_of_its_own_is_read_by_its_answer():
    assert torch.equal(embeddings_of(model_of("vgg"), images(2)), model_of("vgg")(images(2)))


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    net = insert_lesa(ResNet(Bottleneck, [1, 1, 1, 1], width_per_group=8), {"layer4": [0]}, "detection_qr", (64, 64))
    return MaskRCNN(with_pyramid(net, 8), num_classes=3, min_size=64, max_size=96, box_detections_per_img=4,
                    rpn_post_nms_top_n_test=20, box_score_thresh=0.0).eval()  # fmt: skip


@pytest.fixture(scope="module")
def found(detector):
    with torch.no_grad():
        return detector(pictures())


def pictures():
    return torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(0))


def test_a_box_of_lesas_detector_is_explained(detector, found):
    boxes = [DetectedBox(each["boxes"][0].tolist(), int(each["labels"][0])) for each in found]
    assert [boxes[i](found[i]).item() for i in (0, 1)] == pytest.approx([each["scores"][0].item() for each in found])
    assert (
        {"lesa-omega", "centre"}
        < set(methods_of(detector))
        < {"grad-cam", "lesa-omega"} | set(methods_of(detector, boxes[0]))
    )
    for method in ("grad-cam", "gradient-x-input", "lesa-omega"):
        maps = explain(detector, pictures(), boxes, method)
        assert maps.shape == (2, 64, 80)
        assert maps.amax((1, 2)).tolist() == [1, 1]
    other = DetectedBox(found[0]["boxes"][1], int(found[0]["labels"][1]))
    assert not torch.equal(explain(detector, pictures(), other)[0], explain(detector, pictures(), boxes)[0])


def test_a_mask_of_the_detector_is_explained(detector, found):
    masks = [DetectedMask(each["masks"][0, 0], int(each["labels"][0])) for each in found]
    assert masks[0](found[0]) == pytest.approx(found[0]["scores"][0].item())
    assert explain(detector, pictures(), masks).amax((1, 2)).tolist() == [1, 1]


def test_what_a_detector_does_not_see_is_zero(detector, found):
    assert DetectedBox((0, 0, 1, 1), 9)(found[0]) == 0
    assert explain(detector, pictures(), DetectedBox((0, 0, 64, 64), 9)).max() == 0


def test_positions_of_the_padding_are_no_part_of_a_detectors_map(detector):
    x = torch.rand(1, 3, 64, 70)  # padded to 96 pixels, in strides of 32, or 16 where four positions are kept
    target_layer = target_layer_of(detector, x)
    assert target_layer.layer is detector.backbone.body.layer3
    assert target_layer.extent == (4, 4)  # of 4×6
    whole = torch.rand(1, 2, 4, 6)
    torch.testing.assert_close(target_layer.output(target_layer.maps(whole) * 2, whole)[..., :4], whole[..., :4] * 2)
    torch.testing.assert_close(target_layer.output(target_layer.maps(whole) * 2, whole)[..., 4:], whole[..., 4:])


def test_targets_of_grad_cam_for_boxes_and_maps_of_scores(detector, found):
    theirs = FasterRCNNBoxScoreTarget(found[0]["labels"][:1], found[0]["boxes"][:1].numpy())
    assert explain(detector, pictures()[:1], theirs).max() == 1
    net = torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=2).eval()
    mask = torch.zeros(32, 32).numpy()
    mask[8:20, 8:20] = 1
    assert explain(net, images(1), SemanticSegmentationTarget(1, mask), "gradient-x-input").max() == 1


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (Classes([1, CLASSES]), "There is no class 4: the model has classes 0 to 3"),
        (Classes([]), "nothing to explain"),
        (lambda logits: logits, r"function makes \[4\] of an image's answer"),
        (lambda logits: 3, "function makes int of an image's answer"),
        ([Classes([1])], "3 images: give one target for all, or 3"),
        ([Classes([1]), 2, 3], "no classes among them"),
        (lambda logits: logits.argmax(), "No gradient leads from what is explained back to the image.*such as rise"),
        (DetectedBox((0, 0, 4, 4), 1), r"dict of boxes, labels and scores, .* not with a tensor \[4\]"),
        (DetectedMask(torch.ones(32, 32), 1), "Detected masks are of a network that answers an image with a dict"),
        (Similarity(torch.ones(5)), r"shape \[5\], the network's are of shape \[4\]"),
    ],
)
def test_targets_that_cannot_be(targets, message):
    with pytest.raises(WorkbookValueError, match=message):
        explain(model_of("vgg"), images(), targets)


@pytest.mark.parametrize("target", [Classes([CLASSES]), Similarity(torch.ones(5)), DetectedBox((0, 0, 4, 4), 1)])
def test_a_target_that_cannot_be_is_told_by_a_method_that_knows_none_too(target):
    with pytest.raises(WorkbookValueError):
        explain(model_of("timm vit"), images(), target, "rollout")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Classes([1.5]), r"different whole numbers, such as Classes\(\[1, 4\]\), not \[1.5\]"),
        (lambda: Classes([1, 1]), "different whole numbers"),
        (lambda: Classes("01"), "different whole numbers"),
        (lambda: Classes([True]), "different whole numbers"),
        (lambda: Similarity([1.0, 2.0]), r"an embedding, a tensor \[D\], not list"),
        (lambda: Similarity(torch.ones(2, 2)), r"not a tensor \[2, 2\]"),
        (lambda: Similarity(torch.zeros(3)), "has no direction, so that nothing is like it"),
        (lambda: Similarity(torch.tensor([1.0, float("nan")])), "numbers that are not finite"),
        (
            lambda: Similarity.to(model_of("vgg"), images(2)),
            r"one picture, .* not a tensor \[2, 3, 32, 32\]: of a batch",
        ),
        (lambda: Similarity.to(model_of("vgg"), images(1)[0, :1]), r"not a tensor \[1, 32, 32\]"),
        (lambda: DetectedBox((1, 2, 3, 4), "cat"), "whole numbers, such as label=1, not 'cat'"),
        (lambda: DetectedMask(torch.ones(3, 3), 1.5), "whole numbers, such as label=1, not 1.5"),
        (lambda: DetectedMask(torch.ones(3, 3).numpy(), 1), r"a tensor \[H, W\], not ndarray: torch.as_tensor"),
        (lambda: DetectedBox((1, 2, 3), 1), "corners"),
        (lambda: DetectedBox((5, 2, 3, 4), 1), "x₁ < x₂"),
        (lambda: DetectedBox((0, 0, float("nan"), 1), 1), "x₁ < x₂"),
    ],
)
def test_a_target_of_nonsense_is_told_where_it_is_made(make, message):
    with pytest.raises(WorkbookValueError, match=message):
        make()


def test_classes_come_as_any_whole_numbers():
    for given in ([1, 2], torch.tensor([1, 2]), torch.tensor([1, 2]).numpy(), range(1, 3)):
        assert Classes(given) == Classes((1, 2))
    assert Classes(3).classes == (3,)


def test_a_mask_of_another_size_is_told(detector, found):
    with pytest.raises(WorkbookValueError, match=r"shape \[5, 5\], and the image is of"):
        explain(detector, pictures()[:1], DetectedMask(torch.ones(5, 5), 1))


def test_a_detector_has_no_embedding(detector, found):
    with pytest.raises(WorkbookValueError, match="answers an image with a dict of boxes, .*which is no embedding"):
        embeddings_of(detector, pictures()[:1])


def test_a_network_without_a_single_answer_says_so():
    class Two(nn.Module):
        def forward(self, x):
            return {"a": x.mean(1), "b": x.mean(2)}

    with pytest.raises(
        WorkbookValueError, match="Two answers 2 images with 2 tensors, none of them called logits or out"
    ):
        explain(Two().eval(), images(2), lambda answer: answer.sum(), "gradient-x-input")
