import pytest
import torch

from lib.dcal import PairWiseCrossAttention
from lib.dcal.pwca import pairwise_block
from lib.dcal.vit import project
from lib.errors import WorkbookValueError
from tests.helpers import float64, randomised


@pytest.fixture
def pwca():
    return randomised(PairWiseCrossAttention(24, 3)).train()


@pytest.fixture
def x1():
    return float64(2, 17, 24)


@pytest.fixture
def x2():
    return float64(2, 9, 24, seed=4)


def test_an_empty_second_image_is_self_attention(pwca, x1):
    torch.testing.assert_close(pwca(x1, x1[:, :0]), pwca.block(x1))


def test_a_copy_of_the_first_image_is_self_attention(pwca, x1):
    torch.testing.assert_close(pwca(x1, x1.clone()), pwca.block(x1))


def test_is_one_softmax_over_the_keys_of_both_images(pwca, x1, x2):
    both = torch.cat([x1, x2], 1)
    torch.testing.assert_close(pwca(x1, x2), pwca.block(both)[:, :17])


def test_a_second_image_changes_the_output(pwca, x1, x2):
    assert not torch.allclose(pwca(x1, x2), pwca.block(x1))


def test_at_inference_the_second_image_is_not_looked_at(pwca, x1, x2):
    for out in (pwca(x1, x2, training=False), pwca.eval()(x1, x2), pwca(x1)):
        torch.testing.assert_close(out, pwca.block(x1))
    torch.testing.assert_close(pwca(x1, x2, training=True), pwca.block(torch.cat([x1, x2], 1))[:, :17])


def test_training_only_can_be_switched_off(x1, x2):
    pwca = randomised(PairWiseCrossAttention(24, 3, training_only=False)).eval()
    torch.testing.assert_close(pwca(x1, x2), pwca.block(torch.cat([x1, x2], 1))[:, :17])


def test_the_first_tokens_alone_are_the_first_tokens_of_all(pwca, x1, x2):
    other = float64(2, 3, 9, 8, seed=5), float64(2, 3, 9, 8, seed=6)
    normed = pwca.block.norm1(x1)
    all_ask, two_ask = project(pwca.block.attn, normed), project(pwca.block.attn, normed, normed[:, :2])
    found = pairwise_block(pwca.block, x1, two_ask, other)
    torch.testing.assert_close(found, pairwise_block(pwca.block, x1, all_ask, other)[:, :2])


def test_both_images_get_gradients(pwca, x1, x2):
    pwca(x1.requires_grad_(), x2.requires_grad_()).sum().backward()
    assert (x1.grad.abs().sum(2) > 0).all()
    assert (x2.grad.abs().sum(2) > 0).all()


def test_bad_input(pwca, x1):
    with pytest.raises(WorkbookValueError, match="PWCA without a pair"):
        pwca(x1)
    for shape in ((1, 17, 24), (2, 17, 12)):
        with pytest.raises(WorkbookValueError, match="The pair does not fit"):
            pwca(x1, float64(*shape))
    with pytest.raises(WorkbookValueError, match="The pair does not fit"):
        pwca(x1[0], x1[0])
