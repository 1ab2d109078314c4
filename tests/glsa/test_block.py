import itertools
import re

import pytest
import torch
from torch import nn

from lib.errors import WorkbookValueError
from lib.glsa import (
    FUSION_STRATEGIES,
    LOCAL_ATTENTION,
    RESIDUAL_STRATEGIES,
    BaseFusion,
    GLSABlock,
    GLSANet,
    LocalAttention,
    ResidualStrategy,
)
from tests.helpers import float64, randomised
from tests.peak_memory import PeakMemory

COMBINATIONS = list(itertools.product(LOCAL_ATTENTION, FUSION_STRATEGIES, RESIDUAL_STRATEGIES))


def test_there_are_96_combinations():
    assert len(COMBINATIONS) == 96


@pytest.mark.parametrize(("local", "fusion", "residual"), COMBINATIONS)
def test_gradients_reach_every_parameter(local, fusion, residual):
    torch.manual_seed(0)
    block = GLSABlock(32, 4, local, fusion, residual)
    out = block(torch.randn(4, 32, 4, 5))
    (out * torch.randn_like(out)).sum().backward()
    silent = [name for name, p in block.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == []


def test_is_its_four_steps():
    block = randomised(GLSABlock(32, 4, "BAM", "learnable_gate", "progressive")).eval()
    x = float64(2, 32, 4, 5)
    A = block.attention(x)
    L = block.local(x + A)
    torch.testing.assert_close(block(x), block.residual(x, block.fusion(A, L, x)))
    torch.testing.assert_close(L, block.local(A + x))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_a_training_step_holds_no_attention_map_and_leaves_the_layout(layout):
    block = GLSABlock(32, 8, fusion_strategy="cross_attn")
    x = torch.randn(1, 32, 20, 20).to(memory_format=layout).requires_grad_()
    with PeakMemory() as memory:
        out = block(x)
        out.sum().backward()
    assert memory.peak < 8 * 400**2 * 4  # bytes of one map of all heads
    assert out.is_contiguous(memory_format=layout)


def test_names_are_taken_in_any_case():
    block = GLSABlock(32, 4, "cbam", "Learnable-Gate", "DropPath")
    assert type(block.local) is LOCAL_ATTENTION["CBAM"]
    assert type(block.fusion) is FUSION_STRATEGIES["learnable_gate"]
    assert type(block.residual) is RESIDUAL_STRATEGIES["drop_path"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"attn_type": "CBAN"}, "Unknown attn_type 'CBAN'. Did you mean 'CBAM'? Known: CBAM, BAM, scSE, none."),
        ({"fusion_strategy": "learnable_gat"}, "Did you mean 'learnable_gate'?"),
        ({"residual_strategy": "progresive"}, "Did you mean 'progressive'?"),
        ({"num_heads": 5}, "num_heads=5 does not divide the width 32. Nearest that do: 4 and 8."),
        ({"channels": -32}, "channels must be a whole number of at least 1, not -32"),
        ({"num_heads": 0}, "num_heads must be a whole number of at least 1, not 0"),
        ({"width": "leen"}, "Unknown width 'leen'. Did you mean 'lean'?"),
        ({"width": "lean", "num_heads": 3}, "num_heads=3 does not divide the width 8. Nearest that do: 2 and 4."),
        ({"width": "lean", "dim_head": 4}, "width='lean' sets the width of a head, and so does dim_head=4: give one."),
    ],
)
def test_mistakes_are_told_with_their_remedy(wrong, message):
    with pytest.raises(WorkbookValueError, match=re.escape(message)):
        GLSABlock(**{"channels": 32, "num_heads": 8} | wrong)


def test_a_lean_block_attends_at_a_quarter_of_its_channels():
    lean, narrow = (
        GLSABlock(32, 4, fusion_strategy="cross_attn", **how) for how in ({"width": "Lean"}, {"dim_head": 2})
    )
    assert {name: p.shape for name, p in lean.named_parameters()} == {n: p.shape for n, p in narrow.named_parameters()}
    assert lean.attention.norm.normalized_shape == (8,) == (lean.fusion.to_out.in_channels,)
    assert lean(torch.randn(2, 32, 4, 5)).shape == (2, 32, 4, 5)


@pytest.mark.parametrize(("local", "fusion", "residual"), COMBINATIONS[::7])
def test_parts_sum_to_all_parameters(local, fusion, residual):
    block = GLSABlock(32, 4, local, fusion, residual)
    counts = block.count_parameters()
    assert list(counts) == ["total", "global", "local", "fusion", "residual"]
    assert counts["total"] == sum(p.numel() for p in block.parameters())
    assert 2 * counts["total"] == sum(counts.values())


def test_counts_are_those_derived_by_hand():
    C = 256
    counts = GLSABlock(C, 8, "CBAM", "learnable_gate", "learnable_gate").count_parameters()
    assert counts["global"] == 3 * C * C + C * C + 2 * C  # W_qkv, output projection, LayerNorm
    assert counts["local"] == 2 * C * C // 16 + 2 * 49 + 2  # shared MLP, 7×7 convolution, its norm
    assert counts["fusion"] == C * C + 2 * C * C + C  # W, W_g and its bias
    assert counts["residual"] == C


class CustomFusion(BaseFusion):
    def __init__(self, channels):
        super().__init__(channels)
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, A, L, x_in=None):
        gate = self.weight.sigmoid()
        self.keep(gate=gate)
        return gate * A + L - x_in


class CustomResidual(ResidualStrategy):
    def forward(self, x_in, fused_features):
        return x_in - fused_features


class CustomLocal(LocalAttention):
    def forward(self, x):
        return x.tanh()


@pytest.fixture
def custom(monkeypatch):
    monkeypatch.setitem(FUSION_STRATEGIES, "custom", CustomFusion)
    monkeypatch.setitem(RESIDUAL_STRATEGIES, "custom", CustomResidual)
    monkeypatch.setitem(LOCAL_ATTENTION, "custom", CustomLocal)


@pytest.mark.usefixtures("custom")
def test_a_strategy_of_ones_own_is_one_line():
    block = randomised(GLSABlock(32, 4, "custom", "custom", "custom")).eval()
    x = float64(2, 32, 4, 5)
    A = block.attention(x)
    R = block.fusion.weight.sigmoid() * A + (x + A).tanh() - x
    torch.testing.assert_close(block(x), x - R)
    assert block.maps()["fusion_gate"].shape == (32, 1, 1)
    assert block.count_parameters()["fusion"] == 32


@pytest.mark.parametrize("wrong", [nn.Identity, nn.Identity(), "original"])
def test_what_is_registered_must_derive_from_the_base(monkeypatch, wrong):
    monkeypatch.setitem(FUSION_STRATEGIES, "mine", wrong)
    with pytest.raises(WorkbookValueError, match=r"fusion_strategy 'mine' .* derives from BaseFusion"):
        GLSABlock(32, fusion_strategy="mine")


def test_a_block_must_fit_its_backbone():
    backbone = nn.Module()
    backbone.channels = 64
    with pytest.raises(WorkbookValueError, match="64 channels at its cut and the block 32"):
        GLSANet(backbone, GLSABlock(32))
