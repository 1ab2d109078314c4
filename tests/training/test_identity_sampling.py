"""P×K batches: what each holds, and that (seed, epoch) is all they depend on."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import WorkbookValueError
from lib.training.identity_sampling import IdentityBatches


def labels_of(sizes, seed=0):
    """Labels of identities with `sizes` images, shuffled; the labels themselves are no row numbers."""
    return np.random.default_rng(seed).permutation(np.repeat(10 + 3 * np.arange(len(sizes)), sizes))


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=4, max_size=25),
    identities=st.integers(2, 4),
    images=st.integers(2, 6),
    epoch=st.integers(0, 100),
)
def test_every_batch_is_p_by_k(sizes, identities, images, epoch):
    labels = labels_of(sizes)
    sampler = IdentityBatches(labels, identities, images, seed=1)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) == max(1, sum(sizes) // (identities * images))
    for batch in batches:
        counts = Counter(labels[batch])
        assert len(counts) == identities
        assert set(counts.values()) == {images}
        for label in counts:
            own = [i for i in batch if labels[i] == label]
            assert len(set(own)) == images or (labels == label).sum() < images  # copies only where there are too few


def test_over_epochs_every_image_is_seen():
    labels = labels_of([9, 2, 13, 8, 4, 1, 6, 5])
    sampler, seen = IdentityBatches(labels, 2, 4), set()
    for epoch in range(30):
        sampler.set_epoch(epoch)
        seen |= {i for batch in sampler for i in batch}
    assert seen == set(range(len(labels)))


def test_an_epoch_is_a_function_of_seed_and_number():
    labels = labels_of([9, 2, 13, 8, 4, 1, 6, 5])

    def epoch(number, seed=0):
        sampler = IdentityBatches(labels, 3, 4, seed)
        sampler.set_epoch(number)
        return list(sampler)

    uninterrupted = IdentityBatches(labels, 3, 4)
    for number in range(4):
        uninterrupted.set_epoch(number)
        np.random.rand(3)  # noqa: NPY002  what others draw from numpy's generator does not matter
        assert list(uninterrupted) == epoch(number)
    assert epoch(0) != epoch(1)
    assert epoch(0) != epoch(0, seed=1)


def test_others_draw_from_numpys_generator_as_if_nothing_had_been():
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    list(IdentityBatches(labels_of([5, 5, 5]), 2, 4))
    assert np.random.rand() == expected  # noqa: NPY002


@pytest.mark.parametrize(
    ("sizes", "arguments", "message"),
    [
        ([5, 5, 5], (4, 2), "wants 4 identities of 2 images; the training part shows 3: lower batch_size"),
        ([9], (2, 2), "the training part shows 1"),
        ([5, 5, 5], (1, 4), "no triplets"),
        ([5, 5, 5], (2, 1), "no triplets"),
        ([5, 5, 5], (0, 4), "identities must be"),
    ],
)
def test_what_makes_no_batches(sizes, arguments, message):
    with pytest.raises(WorkbookValueError, match=message):
        IdentityBatches(labels_of(sizes), *arguments)
