import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.dcal import PAIR_STRATEGIES
from lib.errors import WorkbookValueError

LABELS = torch.tensor([0, 0, 1, 1, 2, 0])


def draws(name, labels, embeddings=None, rounds=200):
    generator = torch.Generator().manual_seed(0)
    return torch.stack([PAIR_STRATEGIES[name](labels, embeddings, generator) for _ in range(rounds)])


@pytest.mark.parametrize("name", PAIR_STRATEGIES)
@given(labels=st.lists(st.integers(0, 3), min_size=2, max_size=9), seed=st.integers(0, 2**31))
def test_never_the_image_itself(name, labels, seed):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(len(labels), 4, generator=generator).round()  # ties, too
    partners = PAIR_STRATEGIES[name](torch.tensor(labels), embeddings, generator)
    assert partners.dtype == torch.int64
    assert partners.shape == (len(labels),)
    assert (partners != torch.arange(len(labels))).all()
    assert ((partners >= 0) & (partners < len(labels))).all()


def test_random_reaches_every_other_image_equally_often():
    counts = torch.zeros(6, 6)
    for partners in draws("random", LABELS, rounds=3000):
        counts[torch.arange(6), partners] += 1
    others = counts[~torch.eye(6, dtype=torch.bool)]
    assert counts.diagonal().sum() == 0
    assert (others - 600).abs().max() < 6 * (3000 * 0.2 * 0.8) ** 0.5


def test_inter_class_is_of_another_class_and_reaches_all_of_them():
    found = draws("inter_class", LABELS)
    assert (LABELS[found] != LABELS).all()
    assert set(found[:, 0].tolist()) == {2, 3, 4}


def test_intra_class_is_of_the_same_class_and_falls_back_for_one_that_is_alone():
    found = draws("intra_class", LABELS)
    alone = torch.arange(6) == 4
    assert (LABELS[found[:, ~alone]] == LABELS[~alone]).all()
    assert set(found[:, 0].tolist()) == {1, 5}
    assert set(found[:, 4].tolist()) == {0, 1, 2, 3, 5}


def test_one_class_alone_falls_back_to_any_other_image():
    labels = torch.zeros(4, dtype=torch.long)
    assert set(draws("inter_class", labels)[:, 0].tolist()) == {1, 2, 3}
    embeddings = torch.tensor([[0.0], [1.0], [3.0], [3.5]])
    assert PAIR_STRATEGIES["hard"](labels, embeddings).tolist() == [1, 0, 3, 2]


def test_hard_is_the_nearest_of_another_class():
    embeddings = torch.tensor([[0.0, 0], [0.1, 0], [1.0, 0], [5.0, 0], [4.0, 0], [9.0, 0]], requires_grad=True)
    assert PAIR_STRATEGIES["hard"](LABELS, embeddings).tolist() == [2, 2, 1, 4, 3, 3]


def test_a_seed_fixes_the_draw():
    assert torch.equal(draws("random", LABELS), draws("random", LABELS))


@pytest.mark.parametrize("name", PAIR_STRATEGIES)
@given(shown=st.lists(st.integers(0, 3), min_size=2, max_size=9), seed=st.integers(0, 2**31))
def test_never_a_copy_of_the_image_while_another_is_there(name, shown, seed):
    generator = torch.Generator().manual_seed(seed)
    shown = torch.tensor(shown)
    embeddings = torch.zeros(len(shown), 4)  # a copy is as near as can be
    partners = PAIR_STRATEGIES[name](shown // 2, embeddings, generator, images=shown)
    assert (partners != torch.arange(len(shown))).all()
    assert (shown[partners] != shown).all() or len(shown.unique()) == 1


@pytest.mark.parametrize("name", PAIR_STRATEGIES)
def test_a_batch_of_one(name):
    with pytest.raises(WorkbookValueError, match="A pair needs two images"):
        PAIR_STRATEGIES[name](torch.tensor([3]), torch.zeros(1, 4))


@pytest.mark.parametrize("name", PAIR_STRATEGIES)
def test_strategies_can_be_pickled(name):
    assert pickle.loads(pickle.dumps(PAIR_STRATEGIES[name])) == PAIR_STRATEGIES[name]


def test_numbers_of_other_images():
    with pytest.raises(WorkbookValueError, match=r"6 labels and image numbers of shape \[2\]"):
        PAIR_STRATEGIES["random"](LABELS, images=torch.tensor([1, 2]))


def test_labels_that_are_no_tensor():
    with pytest.raises(WorkbookValueError, match="Labels are a tensor, .* not a list"):
        PAIR_STRATEGIES["random"]([0, 1])


def test_hard_without_embeddings():
    with pytest.raises(WorkbookValueError, match="'hard' needs an embedding of each of 6 images"):
        PAIR_STRATEGIES["hard"](LABELS)
