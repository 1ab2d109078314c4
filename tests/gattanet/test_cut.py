"""Layers and backbones that cannot be: told at once, with a remedy."""

import pytest
import torch
from torch import nn

from lib.errors import WorkbookValueError
from lib.gattanet import GAttANet
from lib.toynet import ToyNet
from tests.gattanet.transcription import SIZE


class Net(nn.Module):
    """A body to override the forward of."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act = nn.ReLU()
        self.spare = nn.ReLU()
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(4, 5)
        self.tokens = nn.Flatten(2)

    def forward(self, x):
        x = self.act(self.act(self.conv(x)))
        self.tokens(x)
        return self.fc(self.pool(x))


class Branches(Net):
    def forward(self, x):
        return self.fc(self.pool(self.conv(x) if x.sum() > 0 else self.conv(-x)))


class ByType(Net):
    def forward(self, x):
        x = x if isinstance(x, torch.Tensor) else self.act(-x)
        return self.fc(self.pool(self.conv(x)))


class OnlyInEval(Net):
    def forward(self, x):
        x = self.conv(x)
        return self.fc(self.pool(x if self.training else self.act(x)))


class Tuples(Net):
    def forward(self, x):
        return self.fc(self.pool(self.conv(x))), x


@pytest.mark.parametrize(
    ("net", "layers", "message"),
    [
        (Net, [], r"layers=\[\] selects no layer: give a list of names"),
        (Net, "conv", "layers='conv' selects no layer"),
        (Net, ["conf"], "no layer 'conf'. The nearest names are conv"),
        (Net, [""], "no layer ''"),
        (Net, ["conv", "conv"], "name a layer twice"),
        (Net, ["spare"], "'spare' is never called in the backbone's forward"),
        (Net, ["conv", "act"], "'act' is called 2 times"),
        (Net, ["conv", "tokens"], r"'tokens' gives a tensor of shape \[2, 4, 196\], neither a map \[B, C, H, W\] nor"),
        (OnlyInEval, ["conv", "act"], "'act' is never called"),
        (Branches, ["conv"], "Branches cannot be cut at its layers .*torch.fx.wrap"),
        (ByType, ["conv"], "ByType cannot be cut at its layers"),
        (Tuples, ["conv"], r"The backbone gives a tuple, not logits"),
    ],
)
def test_what_cannot_be_is_told_at_once(net, layers, message):
    with pytest.raises(WorkbookValueError, match=message):
        GAttANet(net(), layers, input_size=SIZE)


def test_images_that_do_not_suit_the_backbone():
    with pytest.raises(WorkbookValueError, match=r"cannot take images of shape \[1, 16, 16\].*input_size="):
        GAttANet(Net(), ["conv"], input_size=(1, 16, 16))


@pytest.mark.parametrize(("option", "value"), [("dim", 0), ("passes", 0), ("passes", 1.5), ("dim", True)])
def test_sizes_that_cannot_be(option, value):
    with pytest.raises(WorkbookValueError, match=f"{option} must be a whole number of at least 1, not {value}"):
        GAttANet(Net(), ["conv"], **{option: value}, input_size=SIZE)


def test_a_branch_inside_a_module_of_its_own_is_no_hindrance():
    class Inside(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    torch.manual_seed(0)
    net = nn.Sequential(Inside(), nn.Conv2d(3, 4, 3), Inside(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = GAttANet(net, ["1", "2"], input_size=SIZE).eval()
    for sign in (1, -1):
        images = sign * torch.rand(2, *SIZE)
        torch.testing.assert_close(model(images), net(images))


def test_a_network_with_a_memory_is_refused():
    class Counts(Net):
        calls = 0.0

        def forward(self, x):
            self.calls = self.calls + 1
            return self.fc(self.pool(self.conv(x))) + self.calls

    with pytest.raises(WorkbookValueError, match="it no longer gives its own logits"):
        GAttANet(Counts(), ["conv"], input_size=SIZE)


def test_building_leaves_modes_statistics_and_random_numbers_alone():
    net = ToyNet(5, width=4)
    net.conv2.eval()
    modes, before = [m.training for m in net.modules()], {n: t.clone() for n, t in net.state_dict().items()}
    torch.manual_seed(0)
    GAttANet(net, ["conv2"], input_size=SIZE)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    for _ in range(2):
        nn.init.xavier_uniform_(torch.empty(8, 64))
    assert torch.equal(drawn, torch.rand(1))
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())
