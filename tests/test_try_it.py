"""The answers that notebooks fold below their *Try it* questions are true."""

import math

import numpy as np
import pytest
import torch

from lib.dcal import AttentionRollout, create_dcal_model
from lib.explain.methods.activation_tap import ActivationTap
from lib.explain.methods.target_layers import target_layer_of
from lib.glsa import CBAM, FUSION_STRATEGIES
from lib.glsa.attention import GlobalAttention
from lib.glsa.residual import ProgressiveResidual
from lib.lesa import LESA, POSITIONS
from lib.mapped import EVERY
from lib.models import create_model
from lib.retrieval.ranking import _scores
from lib.training.triplet import BatchHardTriplet
from tests.helpers import randomised


@torch.inference_mode()
def test_without_keys_global_attention_is_a_mean():
    attention, x = GlobalAttention(16, num_heads=2).eval(), torch.rand(1, 16, 3, 4)
    attention.to_qkv.weight[16:32] = 0  # the keys'
    attention(x)
    torch.testing.assert_close(attention.matrix(), torch.full((1, 2, 12, 12), 1 / 12))


@torch.inference_mode()
def test_global_attention_does_not_notice_a_shuffle_and_cbam_does():
    x, order = torch.rand(1, 16, 5, 5), torch.randperm(25)
    shuffled = x.flatten(2)[:, :, order].unflatten(2, (5, 5))
    for part, alike in ((GlobalAttention(16, num_heads=2), True), (CBAM(16), False)):
        part.eval()
        same = torch.allclose(part(x).flatten(2)[:, :, order], part(shuffled).flatten(2), atol=1e-5)
        assert same == alike


@pytest.mark.parametrize(
    ("fusion", "moves"), [("original", False), ("learnable_gate", False), ("weighted_add", False), ("cross_attn", True)]
)
@torch.inference_mode()
def test_only_cross_attention_carries_content_from_one_position_to_another(fusion, moves):
    fuse, A, L = FUSION_STRATEGIES[fusion].build(16, 2).eval(), torch.rand(1, 16, 4, 4), torch.rand(1, 16, 4, 4)
    before, L[..., 0, 0] = fuse(A, L), 5.0
    assert (not torch.equal(before[..., 3, 3], fuse(A, L)[..., 3, 3])) == moves


def test_progressive_starts_at_a_tenth_and_not_at_the_sigmoid_of_it():
    logit = ProgressiveResidual(4).logit.detach()
    assert (logit.item(), logit.sigmoid().item()) == pytest.approx((-2.197, 0.1), abs=1e-3)
    assert torch.tensor(0.1).sigmoid().item() == pytest.approx(0.525, abs=1e-3)


@pytest.mark.parametrize(("side", "even"), [(64, True), (40, False)])
def test_grad_cams_gradient_is_even_where_a_mean_and_a_linear_head_follow(side, even):
    network, images, maps = create_model("resnet18_small", num_classes=3).eval(), torch.rand(1, 3, side, side), []
    with ActivationTap(network, target_layer_of(network, images)) as tap:
        tap.point.register_forward_hook(lambda point, given, F: maps.append(F))
        (gradient,) = torch.autograd.grad(tap(images)[0, 1], maps)
    spread = gradient.flatten(2).std(-1).max().item()
    assert (spread < 1e-7) == even


@torch.inference_mode()
def test_without_alpha_a_second_pass_repeats_the_first_and_costs_keys_and_queries():
    network, images = create_model("toynet", num_classes=3, attn_type="gatta", dim=8).eval(), torch.rand(2, 3, 32, 32)
    assert torch.equal(network(images), network.backbone(images))
    wide = [part.key.shape[0] for part in network.agreement]
    assert network.count_parameters()["gatta"] == sum(2 * channels * 8 + 1 for channels in wide)


def test_where_no_head_prefers_anything_the_rollout_is_even():
    tokens, layers = 5, 3
    even = torch.full((1, 2, tokens, tokens), 1 / tokens)
    row = AttentionRollout().row([even] * layers)[0]
    assert row[1:].tolist() == pytest.approx([(1 - 2**-layers) / tokens] * (tokens - 1))
    assert row[0].item() == pytest.approx(2**-layers + (1 - 2**-layers) / tokens)


def test_an_image_that_is_its_own_distraction_is_answered_as_by_self_attention():
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3}
    network = randomised(create_dcal_model("deit_tiny_patch16_224", 5, **sizes)).eval()
    images = torch.rand(1, 3, 32, 32, dtype=torch.float64).repeat(2, 1, 1, 1)
    branches = network.branches(images, torch.tensor([1, 0]))
    torch.testing.assert_close(branches.pwca, branches.sa)


def test_a_shift_of_all_scores_of_a_head_changes_no_attention():
    layer = randomised(LESA(16, (3, 4), groups=2)).eval()
    x, attention = torch.rand(1, 16, 3, 4, dtype=torch.float64), []
    for shift in (0, 3):
        layer.context.norm_logits.bias.data += shift
        layer(x)
        attention.append(layer.maps(EVERY)["context"])
    assert torch.equal(*attention)


@pytest.mark.parametrize(("position", "same"), [("classification", True), ("axial", False)])
def test_two_offsets_share_a_vector_where_positions_are_flattened(position, same):
    height, width = 3, 4
    dense = POSITIONS[position](6, (height, width))(height, width)["q"].dense  # by (row, column) of j less that of i
    to_the_next_row, to_the_right = dense[:, height, 0], dense[:, height - 1, width]
    assert torch.equal(to_the_next_row, to_the_right) == same


def test_a_batch_on_one_point_has_a_loss_of_log_2():
    assert BatchHardTriplet()(torch.zeros(6, 4), torch.arange(6) // 2).item() == pytest.approx(math.log(2), abs=1e-3)


def test_two_searches_are_better_each_in_a_way_of_its_own():
    (_, ap, inp, first), (_, other_ap, other_inp, other_first) = _scores(np.array([1, 4])), _scores(np.array([2, 3]))
    assert (ap, inp, first) == pytest.approx((0.75, 0.5, 1))
    assert (other_ap, other_inp, other_first) == pytest.approx((7 / 12, 2 / 3, 2))
