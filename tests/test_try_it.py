"""The answers that notebooks 04, 06 and 08 fold below their *Try it* questions are true."""

import math

import numpy as np
import pytest
import torch

from lib.dcal import AttentionRollout, create_dcal_model
from lib.lesa import LESA, POSITIONS
from lib.mapped import EVERY
from lib.retrieval.ranking import _scores
from lib.training.triplet import BatchHardTriplet
from tests.helpers import randomised


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
