"""LESA and plain self-attention in the workbook's backbones."""

import pytest
import torch
from torchvision.models import resnet50

from lib.backbones import build_backbone
from lib.errors import WorkbookError, WorkbookValueError
from lib.lesa import LESA, PAPER_BLOCKS, SelfAttention, insert_lesa, keep_resolution, lesa_classifier, lesa_net, without
from lib.lesa.create import paper_blocks
from lib.models import create_model
from tests.helpers import float64, randomised


def small(attention: str):
    torch.manual_seed(0)
    return create_model("resnet26_small", num_classes=5, attn_type=attention, image_size=(32, 48))


def test_in_resnet50_it_is_the_papers_network():
    with torch.device("meta"):
        wrapped, named = create_model("resnet50", attn_type="lesa"), lesa_net("lesa_resnet50")
        assert {n: p.shape for n, p in wrapped.state_dict().items()} == {
            n: p.shape for n, p in named.state_dict().items()
        }
        assert {name: tuple(numbers) for name, numbers in paper_blocks(wrapped.net).items()} == PAPER_BLOCKS
    assert wrapped.count_parameters()["total"] == 23_777_512
    assert [block.stride for block in wrapped.net.layer4] == [1, 1, 1]


def test_self_attention_stands_where_lesa_does_and_is_its_context_term():
    lesa, plain = small("lesa"), small("self_attention")
    assert list(lesa.blocks) == list(plain.blocks) == ["layer3.1", "layer4.0", "layer4.1"]
    assert {type(layer) for layer in plain.blocks.values()} == {SelfAttention}
    counts, own = lesa.count_parameters(), plain.count_parameters()
    assert set(own) == {"total", "backbone", "context"}
    assert {name: counts[name] for name in ("backbone", "context")} == {n: own[n] for n in ("backbone", "context")}
    assert 2 * own["total"] == sum(own.values())
    assert set(counts) == {"total", "backbone", "local", "context", "gate"}
    assert 2 * counts["total"] == sum(counts.values())


def test_lesa_without_its_local_term_and_with_an_open_gate_is_self_attention():
    lesa = randomised(LESA(32, (4, 5), 4, stride=2)).eval()
    lesa.gate[5].weight.data.zero_()
    lesa.gate[5].bias.data.fill_(1000)
    plain = SelfAttention(32, (4, 5), 4, stride=2).double().eval()
    plain.context.load_state_dict(lesa.context.state_dict())
    x = float64(2, 32, 4, 5)
    with without(lesa, "local"):
        torch.testing.assert_close(plain(x), lesa(x))
    assert set(plain.maps((1, 2))) == {"context", "context_heads"}
    torch.testing.assert_close(plain.maps((1, 2)), {name: lesa.maps((1, 2))[name] for name in plain.maps()})


@pytest.mark.parametrize("attention", ["lesa", "self_attention"])
def test_a_training_step_reaches_every_parameter(attention):
    net = small(attention)
    net(torch.randn(4, 3, 32, 48)).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []
    assert {layer.context.position.size for layer in net.blocks.values()} == {(4, 6)}


def test_the_backbones_own_weights_stay():
    torch.manual_seed(1)
    backbone = build_backbone("resnet26_small", 5)
    before = {name: p.clone() for name, p in backbone.net.state_dict().items()}
    after = lesa_classifier(backbone).net.state_dict()
    gone = {name for name in before if name not in after}
    assert gone == {
        name
        for name in before
        for block in ("layer3.1", "layer4.0", "layer4.1")
        if name.startswith((f"{block}.conv2", f"{block}.bn2"))
    }
    assert all(torch.equal(before[name], after[name]) for name in before if name not in gone)


def test_mistakes_are_told_with_their_remedy():
    with torch.device("meta"):
        with pytest.raises(WorkbookValueError, match="resnet18 and resnet34 have none. Take resnet50"):
            create_model("resnet18", attn_type="lesa")
        with pytest.raises(WorkbookValueError, match="torchvision's ResNets, not into a VGG"):
            create_model("vgg11", attn_type="self_attention")
        with pytest.raises(WorkbookValueError, match="Unknown option of lesa 'positon'. Did you mean 'position'"):
            create_model("resnet50", attn_type="lesa", positon="axial")
        net = insert_lesa(keep_resolution(resnet50()), {"layer4": [1]}, layer=SelfAttention)
        with pytest.raises(WorkbookValueError, match="layer4.1 holds SelfAttention already"):
            insert_lesa(net, {"layer4": [1]})
        with pytest.raises(WorkbookValueError, match="This SelfAttention layer takes 32 channels, not 16"):
            SelfAttention(32, (4, 4), 4)(torch.empty(1, 16, 4, 4))
    with (
        pytest.raises(WorkbookError, match="LESANet has no LESA layer"),
        without(small("self_attention").eval(), "local"),
    ):
        pass


@pytest.mark.parametrize("attention", ["lesa", "self_attention"])
def test_where_patches_are_positions_layer4_alone_brings_them_together(attention):
    model = create_model("resnet14_patches", num_classes=4, attn_type=attention, image_size=(40, 48)).eval()
    assert list(model.blocks) == ["layer4.0"]
    layer = model.blocks["layer4.0"]
    assert layer.context.position.size == (5, 6)
    with torch.no_grad():
        assert model(torch.randn(2, 3, 40, 48)).shape == (2, 4)
    assert model.maps((0, 0))["context"].shape[-2:] == (5, 6)
