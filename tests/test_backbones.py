import shutil
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from torchvision.models import resnet18

from lib import create_model
from lib.backbones import BACKBONES, ResNetBackbone, build_backbone
from lib.errors import WorkbookFileError, WorkbookValueError

TORCHVISION = [name for name in BACKBONES if name in torchvision.models.list_models()]
CHANNELS = {"resnet18": 256, "resnet34": 256, "resnet50": 1024, "resnet101": 1024, "resnet152": 1024}
CHANNELS |= dict.fromkeys(["vgg11", "vgg13", "vgg16", "vgg19"], 512)


@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_is_torchvisions_network(name):
    torch.manual_seed(0)
    with torch.random.fork_rng():
        backbone = build_backbone(name, num_classes=7).eval()
    with torch.device("meta"):
        reference = torchvision.models.get_model(name, num_classes=7).eval()
    reference.load_state_dict(backbone.net.state_dict(), assign=True)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbone(x), reference(x))


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_networks_are_cut_at_14_by_14(name):
    with torch.device("meta"):  # shapes only: no memory, no arithmetic
        backbone = build_backbone(name, num_classes=7).eval()
        features = backbone.lower(torch.empty(2, 3, 224, 224))
        assert features.shape == (2, CHANNELS[name], 14, 14)
        assert backbone.upper(features).shape == (2, 7)
    assert backbone.channels == CHANNELS[name]
    reference = torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    with torch.device("meta"):
        assert build_backbone(name, 1000).count_parameters() == {"total": reference, "backbone": reference}


@pytest.mark.parametrize("size", [(96, 96), (65, 97), (32, 32)])
@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_other_sizes(name, size):
    with torch.device("meta"):
        backbone = build_backbone(name, num_classes=7).eval()
        assert backbone(torch.empty(1, 3, *size)).shape == (1, 7)


@pytest.mark.parametrize("name", ["resnet18", "resnet18_small", "resnet14_patches", "vgg11", "toynet"])
def test_images_that_cannot_be(name):
    with torch.device("meta"):
        backbone = build_backbone(name, num_classes=7)
        with pytest.raises(WorkbookValueError, match=r"31×40 pixels are too small.* at least 32×32"):
            backbone(torch.empty(1, 3, 31, 40))
        with pytest.raises(WorkbookValueError, match=r"\[B, 3, H, W\], not \[1, 1, 64, 64\]"):
            backbone(torch.empty(1, 1, 64, 64))
        with pytest.raises(WorkbookValueError, match=r"not \[3, 64, 64\]"):
            backbone(torch.empty(3, 64, 64))


def test_names_and_numbers_that_cannot_be():
    with pytest.raises(WorkbookValueError, match=r"'resnet19'. Did you mean 'resnet1\d+'\? Known: res"):
        build_backbone("resnet19", 7)
    for num_classes in (0, -1, 2.5, True):
        with pytest.raises(WorkbookValueError, match="num_classes must be a whole number of at least 1"):
            build_backbone("resnet18", num_classes)


def test_the_toy_network_is_cut_before_its_last_convolution():
    torch.manual_seed(0)
    backbone = build_backbone("toynet", 7).eval()
    x = torch.randn(2, 3, 32, 40)
    with torch.no_grad():
        assert backbone.lower(x).shape == (2, backbone.channels, 8, 10)
        assert torch.equal(backbone(x), backbone.net(x))
    assert backbone.net.get_submodule(backbone.head).out_features == 7
    with pytest.raises(WorkbookValueError, match="no pretrained weights of toynet: build it with pretrained=False"):
        build_backbone("toynet", 7, pretrained=True)


def test_the_small_resnet_keeps_8_pixels_between_positions():
    torch.manual_seed(0)
    backbone = build_backbone("resnet26_small", 7).eval()
    x = torch.randn(2, 3, 64, 80)
    with torch.no_grad():
        features = backbone.lower(x)
        assert features.shape == (2, backbone.channels, 8, 10)
        assert backbone.net.layer4(features).shape == (2, 512, 8, 10)
        assert torch.equal(backbone(x), backbone.net(x))
    convolutions = sum(isinstance(m, torch.nn.Conv2d) and "downsample" not in n for n, m in backbone.named_modules())
    assert convolutions + 1 == 26
    with pytest.raises(WorkbookValueError, match="no pretrained weights of resnet26_small"):
        build_backbone("resnet26_small", 7, pretrained=True)


@pytest.mark.parametrize("attention", ["none", "CBAM", "gatta"])
def test_the_narrow_resnet18_keeps_8_pixels_between_positions(attention):
    torch.manual_seed(0)
    backbone = build_backbone("resnet18_small", 7).eval()
    x = torch.randn(2, 3, 64, 40)
    with torch.no_grad():
        features = backbone.lower(x)
        assert features.shape == (2, backbone.channels, 8, 5)
        assert backbone.net.layer4(features).shape == (2, 128, 4, 3)
        assert torch.equal(backbone(x), backbone.net(x))
        assert create_model("resnet18_small", num_classes=7, attn_type=attention).eval()(x).shape == (2, 7)
    layers = {name for name, m in backbone.net.named_modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)}
    assert layers == {
        name for name, m in resnet18(num_classes=7).named_modules() if hasattr(m, "weight") and m.weight.ndim > 1
    }
    assert backbone.count_parameters()["total"] < 1_900_000
    with pytest.raises(WorkbookValueError, match="no pretrained weights of resnet18_small"):
        build_backbone("resnet18_small", 7, pretrained=True)


def test_another_backbone_is_one_line(monkeypatch):
    monkeypatch.setitem(BACKBONES, "wide_resnet50_2", ResNetBackbone)
    with torch.device("meta"):
        assert build_backbone("wide_resnet50_2", 7).channels == 1024


# Pretrained weights: a file of random ones stands in the hub's folder, so that nothing is downloaded.


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> tuple[Path, dict]:
    torch.manual_seed(3)
    state = torchvision.models.resnet18().state_dict()
    file = tmp_path_factory.mktemp("weights") / "resnet18-f37072fd.pth"
    torch.save(state, file)
    return file, state


@pytest.fixture
def checkpoints(tmp_path, monkeypatch) -> Path:
    """The folder that torchvision loads from."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.mark.usefixtures("no_network")
def test_pretrained_weights_are_the_files(checkpoints, weights):
    file, state = weights
    shutil.copy(file, checkpoints)
    loaded = build_backbone("resnet18", num_classes=1000, pretrained=True).net.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


@pytest.mark.usefixtures("no_network")
def test_pretrained_weights_for_other_classes_get_a_new_last_layer(checkpoints, weights):
    file, state = weights
    # Torchvision's VGG files are of this older format.
    torch.save(state, checkpoints / file.name, _use_new_zipfile_serialization=False)
    net = build_backbone("resnet18", num_classes=7, pretrained=True).net
    assert net.fc.weight.shape == (7, 512)
    loaded = net.state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in state if not name.startswith("fc."))


def test_a_pretrained_vgg_gets_its_new_last_layer(monkeypatch):
    monkeypatch.setattr("lib.backbones.load_default_weights", lambda net, name: None)
    with torch.device("meta"):
        net = build_backbone("vgg11", num_classes=7, pretrained=True).net
    assert (net.classifier[-1].in_features, net.classifier[-1].out_features) == (4096, 7)


@pytest.mark.usefixtures("no_network")
def test_without_network_the_message_says_which_file_goes_where(checkpoints):
    with pytest.raises(WorkbookFileError) as error:
        build_backbone("resnet18", 7, pretrained=True)
    for part in ("no route to host", "https://download.pytorch.org/models/resnet18-f37072fd.pth", str(checkpoints)):
        assert part in str(error.value)


def truncated(file, target):
    target.write_bytes(file.read_bytes()[:1_000_000])


def garbage(file, target):
    target.write_bytes(b"<html>not found</html>")


def empty(file, target):
    target.touch()


def other_network(file, target):
    torch.save({"weight": torch.zeros(1)}, target)


def other_object(file, target):
    torch.save([1, 2, 3], target)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("broken", [truncated, garbage, empty, other_network, other_object])
def test_a_broken_file_is_named(checkpoints, weights, broken):
    file, _ = weights
    broken(file, checkpoints / file.name)
    with pytest.raises(WorkbookFileError) as error:
        build_backbone("resnet18", 7, pretrained=True)
    assert str(checkpoints / file.name) in str(error.value)
    assert "Delete it" in str(error.value)
