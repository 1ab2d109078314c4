"""Photographs as networks are shown them, from several viewpoints, and what a brought network makes of them."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config
from torch import nn
from torchvision.models import get_model, get_model_weights

from lib.errors import WorkbookFileError, WorkbookValueError
from lib.explain import explain
from lib.photographs import (
    VIEWPOINTS,
    Photographs,
    bring_network,
    find_photographs,
    take_photographs,
    wheel_network,
    wheel_photographs,
)
from lib.photographs.class_activation import last_layer, pooled_maps
from lib.photographs.untrained_agreement import answers_by_alpha, frozen_gatta
from lib.photographs.viewpoint_study import answers_from, moved_maps, steadiness
from lib.photographs.viewpoints import first_viewpoints
from lib.report.figures import photograph_figures

RIGHT = {"coffee": "espresso", "camera": "tripod", "motorcycle_left": "moped", "rocket": "missile"}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return bring_network("tf_efficientnet_lite0", wheel_network(tmp_path_factory.mktemp("weights")))


@pytest.fixture(scope="module")
def photographs(network):
    return take_photographs(find_photographs(), network)


def test_the_wheels_network_knows_the_wheels_photographs(network, photographs):
    probabilities = photographs.probabilities(network.net)
    answers = dict(zip(photographs.names, (network.classes[k] for k in probabilities.argmax(axis=1)), strict=True))
    assert {name: answers[name] for name in RIGHT} == RIGHT
    assert answers["chelsea"] in ("tiger cat", "Egyptian cat", "tabby")
    assert probabilities[photographs.names.index("coffee")].max() == pytest.approx(0.951, abs=0.01)


def test_the_wheels_weights_are_written_once(tmp_path):
    file = wheel_network(tmp_path)
    before = file.stat().st_mtime_ns
    assert wheel_network(tmp_path).stat().st_mtime_ns == before


def test_photographs_are_shown_as_timms_evaluation_shows_them(network, photographs):
    transform = create_transform(**resolve_model_data_config(network.net))
    files = wheel_photographs()
    for place in (0, 1, 4):  # of a size that is not reduced while it is decoded
        wanted = transform(Image.open(files[place]).convert("RGB"))
        torch.testing.assert_close(photographs.batch(network.net)[place], wanted, rtol=0, atol=1e-6)


def test_networks_of_torchvision_are_shown_what_their_weights_say(tmp_path):
    torch.manual_seed(0)
    save_file(get_model("shufflenet_v2_x0_5", num_classes=3).state_dict(), tmp_path / "mine.safetensors")
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    network = bring_network("shufflenet_v2_x0_5", tmp_path / "mine.safetensors", tmp_path / "classes.txt")
    shown = get_model_weights("shufflenet_v2_x0_5").DEFAULT.transforms()
    taken = take_photographs(find_photographs(most=1), network)
    assert network.classes == ("a", "b", "c")
    picture = shown(Image.open(wheel_photographs()[0]).convert("RGB"))
    torch.testing.assert_close(taken.batch(network.net)[0], picture, rtol=0, atol=1e-6)


def test_as_many_names_as_classes(tmp_path, network):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    weights = wheel_network(tmp_path)
    with pytest.raises(WorkbookValueError, match="names 2 classes, and the weights have 1000"):
        bring_network("tf_efficientnet_lite0", weights, tmp_path / "classes.txt")
    with pytest.raises(WorkbookFileError, match="a class a line"):
        bring_network("tf_efficientnet_lite0", weights, tmp_path / "none.txt")


def test_folders_without_photographs_are_refused(tmp_path):
    with pytest.raises(WorkbookFileError, match="holds no image"):
        find_photographs(tmp_path)
    with pytest.raises(WorkbookFileError, match="is no folder"):
        find_photographs(tmp_path / "none")


def test_namesakes_are_told_apart_and_what_cannot_be_read_is_named(tmp_path, network):
    for place in ("a/one.png", "b/one.png", "small.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.new("L", (40, 30), 200).save(tmp_path / place)
    (tmp_path / "z.png").write_bytes(b"no picture")
    with pytest.raises(WorkbookFileError, match=r"z\.png"):
        take_photographs(find_photographs(tmp_path), network)
    taken = take_photographs(find_photographs(tmp_path), network, skip_unreadable=True)
    assert taken.names == ("a/one", "b/one", "small")
    assert taken.shown.shape == (3, 224, 224, 3)  # enlarged, where they are small


def photographs_of(*sizes: tuple[int, int], side: int = 8) -> Photographs:
    """Noise; each picture's pixels tell where they are."""
    pictures = [np.random.default_rng(n).integers(0, 256, (*size, 3), np.uint8) for n, size in enumerate(sizes)]
    names = tuple(f"p{n}" for n in range(len(sizes)))
    return Photographs(names, tuple(pictures), (side, side), ("as shown",) * len(sizes))


@pytest.mark.parametrize("size", [(8, 13), (12, 8), (9, 11)])
def test_maps_are_put_back_to_where_the_picture_was(size):
    """A map that is the picture itself moves with it exactly; one that stays in the frame does not."""
    seen = photographs_of(size).seen_from(*VIEWPOINTS)
    moving = torch.from_numpy(seen.shown[..., 0]).float()
    staying = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)).expand(len(seen), 8, 8)
    moved = moved_maps(seen, {"moving": moving, "staying": staying})
    assert len(moved) == 2 * (len(VIEWPOINTS) - 1)
    assert moved[moved["method"] == "moving"]["correlation"].to_numpy() == pytest.approx(1)
    assert steadiness(moved, ["staying"])["min"].item() < 0.9


@pytest.mark.parametrize("number", [1, 7])
def test_viewpoints_are_two_or_more_of_those_that_there_are(number):
    assert first_viewpoints(2) == ["as shown", "mirrored"]
    with pytest.raises(WorkbookValueError, match=f"at least 2, .* and at most 6, not {number}"):
        first_viewpoints(number)


def test_viewpoints_show_the_corners():
    seen = photographs_of((12, 10)).seen_from(*VIEWPOINTS)
    whole, shown = seen.whole[0], dict(zip(VIEWPOINTS, seen.shown, strict=True))
    assert (shown["upper left"] == whole[:8, :8]).all()
    assert (shown["lower right"] == whole[-8:, -8:]).all()
    assert (shown["as shown"] == whole[2:10, 1:9]).all()
    assert (shown["mirrored"] == whole[2:10, 1:9][:, ::-1]).all()
    assert list(seen.groups) == ["p0"] * 6


def test_answers_are_compared_with_the_usual_one():
    seen = photographs_of((8, 9), (8, 9)).seen_from("as shown", "mirrored")
    told = answers_from(seen, np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]]))
    assert told["probability"].tolist() == [0.9, 0.8, 0.4, 0.7]
    assert told["same"].tolist() == [True, True, False, True]


def test_a_logit_is_taken_apart_exactly(network, photographs):
    batch = photographs[[0]].batch(network.net)
    F, head = pooled_maps(network.net, batch), last_layer(network.net)
    M = torch.einsum("c,bcyx->byx", head.weight[965], F)
    torch.testing.assert_close(head.bias[965] + M.mean((1, 2)), network.net(batch)[:, 965], rtol=1e-3, atol=1e-3)
    grad_cam, hires_cam = (explain(network.net, batch, 965, name) for name in ("grad-cam", "hires-cam"))
    torch.testing.assert_close(grad_cam, hires_cam, rtol=1e-3, atol=1e-3)


def test_networks_that_end_otherwise_have_no_such_maps():
    image = torch.rand(1, 3, 32, 32)
    assert pooled_maps(timm.create_model("test_vit", img_size=32).eval(), image) is None
    flat = nn.Sequential(nn.Conv2d(3, 4, 3, 8), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    assert pooled_maps(flat.eval(), image) is None


def test_gattanet_starts_from_what_the_network_answers():
    torch.manual_seed(0)
    net = timm.create_model("test_efficientnet", num_classes=5).eval()
    net.classifier.weight.data.mul_(1000)  # answers that differ, of a network as it is drawn
    images = torch.rand(2, 3, 64, 64)
    state, gatta = torch.random.get_rng_state(), frozen_gatta(net, images[:1])
    assert (torch.random.get_rng_state() == state).all()
    answers = answers_by_alpha(gatta, images, [0.0, 0.5])
    assert answers[0] == pytest.approx(net(images).softmax(1).detach().numpy(), abs=1e-6)
    assert np.abs(answers[1] - answers[0]).max() > 1e-6
    assert all(part.alpha.item() == 0 for part in gatta.agreement)
    assert not any(p.requires_grad for p in gatta.backbone.parameters())
    assert frozen_gatta(timm.create_model("test_vit", img_size=32).eval(), torch.rand(1, 3, 32, 32)) is None


def test_strengths_are_written_as_numbers():
    fig = photograph_figures.by_alpha([-0.1, -0.001, 0, 0.001, 0.1], np.zeros((5, 2)), ["a", "b"])
    fig.draw_without_rendering()
    assert [label.get_text() for label in fig.axes[0].get_xticklabels()] == ["−0.1", "0", "0.1"]


def test_weights_without_a_head_and_of_another_network_are_refused(tmp_path):
    net = timm.create_model("test_efficientnet", num_classes=4)
    headless = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith("classifier")}
    save_file(headless, tmp_path / "headless.safetensors")
    save_file(net.state_dict(), tmp_path / "whole.safetensors")
    with pytest.raises(WorkbookValueError, match="have no head 'classifier' of test_efficientnet"):
        bring_network("test_efficientnet", tmp_path / "headless.safetensors")
    save_file(timm.create_model("test_efficientnet", num_classes=1).state_dict(), tmp_path / "one.safetensors")
    with pytest.raises(WorkbookValueError, match="a head of a single answer, which is no choice between classes"):
        bring_network("test_efficientnet", tmp_path / "one.safetensors")
    half = {name: tensor for name, tensor in net.state_dict().items() if name != "classifier.bias"}
    save_file(half, tmp_path / "half.safetensors")
    with pytest.raises(WorkbookValueError, match=r"classifier.bias is not there. Give a whole file, or"):
        bring_network("test_efficientnet", tmp_path / "half.safetensors")
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(WorkbookValueError, match=r"do not fit test_efficientnet.*: conv_stem\.weight is not there;"):
        bring_network("test_efficientnet", tmp_path / "other.safetensors")
    with pytest.raises(WorkbookValueError, match="do not fit test_efficientnet_evos"):
        bring_network("test_efficientnet_evos", tmp_path / "whole.safetensors")
    with pytest.raises(WorkbookValueError, match="no backbone 'resnet1'|Unknown backbone 'resnet1'"):
        bring_network("resnet1", tmp_path / "whole.safetensors")
    assert bring_network("test_efficientnet", tmp_path / "whole.safetensors").classes == tuple(
        f"class {n}" for n in range(4)
    )
