import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18, resnet50
from torchvision.models.resnet import Bottleneck, ResNet

from lib.errors import WorkbookFileError, WorkbookValueError
from lib.lesa import LESA, insert_lesa, keep_resolution, lesa_net, without
from lib.models import create_model


def tiny():
    """A bottleneck ResNet of two blocks a stage, 16 channels wide at its narrowest."""
    return ResNet(Bottleneck, [2, 2, 2, 2], num_classes=5, width_per_group=16)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return create_model("lesa_resnet50", num_classes=7).eval()


@pytest.mark.parametrize("size", [(224, 224), (96, 64), (33, 65), (32, 32)])
def test_any_size_from_32(model, size):
    with torch.no_grad():
        assert model(torch.randn(1, 3, *size)).shape == (1, 7)
    height, width = (-(-side // 16) for side in size)
    for block in model.blocks:
        assert model.maps(block=block)["gate"].shape[2:] == (height, width)
    assert model.maps((height - 1, width - 1))["context"].shape == (1, height, width)


def test_lesa_stands_where_the_paper_has_it(model):
    assert list(model.blocks) == [f"layer3.{i}" for i in (1, 2, 3, 4, 5)] + [f"layer4.{i}" for i in (0, 1, 2)]
    assert {layer.context.position.size for layer in model.blocks.values()} == {(14, 14)}
    assert {layer.stride for layer in model.blocks.values()} == {1}


@pytest.mark.parametrize(("name", "gigamacs"), [("lesa_resnet50", 6.18), ("lesa_wrn50", 16.53)])
def test_operations_are_the_papers(name, gigamacs):
    with torch.device("meta"):
        model = lesa_net(name).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.randn(1, 3, 224, 224, device="meta"))
    assert counter.get_total_flops() / 2e9 == pytest.approx(gigamacs, rel=0.01)


def test_without_context_it_is_a_resnet_of_its_convolution_paths():
    torch.manual_seed(0)
    net = insert_lesa(tiny(), {"layer4": [0, 1]}, image_size=(64, 64)).eval()
    plain = insert_lesa(tiny(), {"layer4": [0, 1]}, image_size=(64, 64)).eval()
    plain.load_state_dict(net.state_dict())
    for block in plain.layer4:
        pool = torch.nn.AvgPool2d(block.conv2.stride, ceil_mode=True)
        block.conv2 = torch.nn.Sequential(block.conv2.local, pool)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad(), without(net, "context"):
        torch.testing.assert_close(net(x), plain(x))


def test_chosen_blocks_keep_their_stride_and_see_the_map_they_stand_on():
    net = insert_lesa(tiny(), {"layer2": [0], "layer3": [0, 1], "layer4": [1]}, "axial", image_size=(96, 160))
    layers = {name: m for name, m in net.named_modules() if isinstance(m, LESA)}
    sizes = {name: (layer.context.position.size, layer.stride) for name, layer in layers.items()}
    assert sizes == {
        "layer2.0.conv2": ((24, 40), 2),
        "layer3.0.conv2": ((12, 20), 2),
        "layer3.1.conv2": ((6, 10), 1),
        "layer4.1.conv2": ((3, 5), 1),
    }
    seen = {}
    for name, layer in layers.items():
        layer.register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: tuple(inputs[0].shape[2:])}))
    assert net(torch.randn(2, 3, 96, 160)).shape == (2, 5)
    assert seen == {name: size for name, (size, _) in sizes.items()}


def test_keeping_the_resolution_takes_one_stride_away():
    net = keep_resolution(tiny())
    insert_lesa(net, {"layer4": [0]}, image_size=(64, 64))
    assert net.layer4[0].conv2.stride == 1
    assert net(torch.randn(2, 3, 64, 64)).shape == (2, 5)


def test_a_training_step_reaches_every_parameter():
    torch.manual_seed(0)
    net = insert_lesa(keep_resolution(tiny()), {"layer3": [1], "layer4": [0, 1]}, image_size=(64, 64))
    net(torch.randn(4, 3, 64, 64)).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("net", "blocks", "message"),
    [
        (resnet18, {"layer4": [0]}, "LESA replaces the 3×3 convolution of a bottleneck; resnet18"),
        (resnet50, {"layer5": [0]}, "Unknown stage 'layer5'. Did you mean 'layer4'?"),
        (resnet50, {"layer4": [3]}, "layer4 has the blocks 0 to 2, and no block 3."),
        (resnet50, {"layer4": [1, 1]}, "layer4.1 holds LESA already"),
        (torch.nn.Identity, {"layer4": [1]}, "torchvision's ResNets, not into a Identity"),
    ],
)
def test_mistakes_are_told_with_their_remedy(net, blocks, message):
    with pytest.raises(WorkbookValueError, match=message):
        insert_lesa(net(), blocks)


def test_an_unknown_block_or_network(model):
    with pytest.raises(WorkbookValueError, match="Unknown block 'layer3.0'. Did you mean 'layer4.0'"):
        model.maps(block="layer3.0")
    with pytest.raises(WorkbookValueError, match="Did you mean 'lesa_resnet50'?"):
        create_model("lesa_resnet5")
    with pytest.raises(WorkbookValueError, match="The image's width must be a whole number"):
        lesa_net(image_size=(224, 0))
    with pytest.raises(WorkbookValueError, match=r"image's size \(32,\) must be a whole number or a pair"):
        lesa_net(image_size=(32,))


def test_pretrained_weights_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(WorkbookFileError, match=r"lesa_wrn50.pth.tar'.*LESA_classification.*pretrained=False"):
        create_model("lesa_wrn50", pretrained=True)
