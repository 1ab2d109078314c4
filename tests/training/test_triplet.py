"""The batch-hard triplet loss against explicit loops."""

import math

import pytest
import torch

from lib.errors import WorkbookValueError
from lib.training.triplet import BatchHardTriplet


def loops(embeddings, identities, margin):
    losses = []
    for a in range(len(embeddings)):
        to = [(embeddings[a] - e).norm() for e in embeddings]
        positives = [d for i, d in enumerate(to) if i != a and identities[i] == identities[a]]
        negatives = [d for i, d in enumerate(to) if identities[i] != identities[a]]
        if positives and negatives:
            x = max(positives) - min(negatives)
            losses.append(torch.log1p(x.exp()) if margin is None else (x + margin).clamp(min=0))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("margin", [None, 0.3, 5.0])
@pytest.mark.parametrize("identities", [[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], [5, 5, 5, 9, 9, 1, 2, 3, 3, 4, 4, 4]])
def test_value_and_gradient_are_those_of_loops(identities, margin):
    embeddings = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    identities = torch.tensor(identities)
    expected = loops(embeddings, identities, margin)
    (slope,) = torch.autograd.grad(expected, embeddings)
    loss = BatchHardTriplet(margin)(embeddings, identities)
    assert torch.allclose(loss, expected, atol=1e-6)
    assert torch.allclose(torch.autograd.grad(loss, embeddings)[0], slope, atol=1e-5)


def test_anchors_at_zero_count():
    """Two of four anchors violate the margin; the mean is over four."""
    embeddings, identities = torch.tensor([[0.0], [1.0], [5.0], [10.0]]), torch.tensor([0, 0, 1, 1])
    # 0: 1 − 5, 1: 1 − 4, 2: 5 − 4, 3: 5 − 9
    assert BatchHardTriplet(1.0)(embeddings, identities) == pytest.approx(2.0 / 4)
    soft = [math.log1p(math.exp(x)) for x in (-4, -3, 1, -4)]
    assert BatchHardTriplet()(embeddings, identities).item() == pytest.approx(sum(soft) / 4)


def test_embeddings_are_not_normalised():
    embeddings, identities = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) // 2
    assert BatchHardTriplet()(3 * embeddings, identities) != BatchHardTriplet()(embeddings, identities)


def test_copies_of_one_image_have_a_gradient():
    embeddings = torch.cat([torch.ones(3, 4), torch.zeros(3, 4)]).requires_grad_()
    BatchHardTriplet()(embeddings, torch.tensor([0, 0, 0, 1, 1, 1])).backward()
    assert embeddings.grad.isfinite().all()


def test_half_precision_is_computed_in_single():
    embeddings, identities = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) // 2
    embeddings = embeddings.bfloat16()
    assert BatchHardTriplet()(embeddings, identities) == BatchHardTriplet()(embeddings.float(), identities)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert BatchHardTriplet()(embeddings, identities) == BatchHardTriplet()(embeddings.float(), identities)


@pytest.mark.parametrize("identities", [[3, 3, 3, 3], [0, 1, 2, 3]])
def test_batches_without_triplets(identities):
    with pytest.raises(WorkbookValueError, match="hold no triplet"):
        BatchHardTriplet()(torch.randn(4, 2), torch.tensor(identities))


@pytest.mark.parametrize("margin", [0, -0.3, float("nan")])
def test_margins_that_make_no_sense(margin):
    with pytest.raises(WorkbookValueError, match="margin must be above 0"):
        BatchHardTriplet(margin)
