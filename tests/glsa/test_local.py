from itertools import pairwise

import pytest
import torch
from torch.nn.functional import conv2d

from lib.errors import WorkbookValueError
from lib.glsa import BAM, CBAM, LOCAL_ATTENTION, SCSE
from lib.glsa.local import NoAttention
from tests.glsa.reference import batch_norm, conv1x1
from tests.helpers import float64, randomised


@pytest.fixture
def x():
    return float64(3, 32, 4, 5)


def cbam(module, x):
    def mlp(pooled):
        return conv1x1(conv1x1(pooled, module.channel[0]).clamp(min=0), module.channel[2])

    average, maximum = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    x = torch.sigmoid(mlp(average) + mlp(maximum)) * x
    pooled = torch.stack([x.mean(1), x.amax(1)], dim=1)
    return torch.sigmoid(batch_norm(conv2d(pooled, module.spatial[0].weight, padding=3), module.spatial[1])) * x


def bam(module, x):
    first, _, second, norm = module.channel
    m_c = batch_norm(conv1x1(conv1x1(x.mean((2, 3), keepdim=True), first).clamp(min=0), second), norm)
    s = module.spatial
    m_s = batch_norm(conv1x1(x, s[0]), s[1]).clamp(min=0)
    m_s = batch_norm(conv2d(m_s, s[3].weight, padding=4, dilation=4), s[4]).clamp(min=0)
    m_s = batch_norm(conv2d(m_s, s[6].weight, padding=4, dilation=4), s[7]).clamp(min=0)
    m_s = batch_norm(conv1x1(m_s, s[9]), s[10])
    return x + x * torch.sigmoid(m_c + m_s)


def scse_parts(module, x):
    squeezed = conv1x1(x.mean((2, 3), keepdim=True), module.channel[0]).clamp(min=0)
    return x * torch.sigmoid(conv1x1(squeezed, module.channel[2])), x * torch.sigmoid(conv1x1(x, module.spatial))


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(("cls", "formula"), [(CBAM, cbam), (BAM, bam)])
def test_is_its_formula(cls, formula, mode, x):
    module = randomised(cls(32)).train(mode == "train")
    torch.testing.assert_close(module(x), formula(module, x))


def test_scse_adds_or_takes_the_larger(x):
    add, largest = randomised(SCSE(32)), randomised(SCSE(32, combine="max"))
    channel, spatial = scse_parts(add, x)
    torch.testing.assert_close(add(x), channel + spatial)
    torch.testing.assert_close(largest(x), torch.where(channel > spatial, channel, spatial))
    with pytest.raises(WorkbookValueError, match=r"Unknown combine 'maxx'. Did you mean 'max'\?"):
        SCSE(32, combine="maxx")


def test_none_is_the_identity(x):
    assert NoAttention(32)(x) is x


def test_reductions():
    assert (CBAM(256).channel[0].out_channels, BAM(256).spatial[0].out_channels) == (16, 16)
    assert SCSE(256).channel[0].out_channels == 128
    assert (CBAM(32).channel[0].out_channels, BAM(32).channel[0].out_channels) == (4, 4)  # the floor, not 2


def test_cbam_and_scse_show_the_gates_they_apply(x):
    module = randomised(CBAM(32)).eval()
    out, maps = module(x), module.maps()
    torch.testing.assert_close(out, x * maps["channel"] * maps["spatial"])
    module = randomised(SCSE(32)).eval()
    out, maps = module(x), module.maps()
    torch.testing.assert_close(out, x * maps["channel"] + x * maps["spatial"])


def test_bam_shows_the_means_of_the_gate_it_applies(x):
    module = randomised(BAM(32)).eval()
    gate = (module(x) - x) / x
    torch.testing.assert_close(module.maps()["channel"], gate.mean((2, 3), keepdim=True))
    torch.testing.assert_close(module.maps()["spatial"], gate.mean(1, keepdim=True))


@pytest.mark.parametrize("name", LOCAL_ATTENTION)
def test_no_convolution_before_a_norm_has_a_bias(name):
    for before, after in pairwise(LOCAL_ATTENTION[name](32).modules()):
        if isinstance(after, torch.nn.BatchNorm2d):
            assert before.bias is None
