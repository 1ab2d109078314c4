import itertools

import pytest
import torch

from lib.errors import WorkbookValueError
from lib.gattanet import class_agreement, pass_agreement
from tests.helpers import float64


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def test_class_agreement_is_the_mean_over_pairs_of_images():
    queries, labels = float64(7, 2, 3), torch.tensor([0, 0, 2, 2, 2, 0, 3])
    found = class_agreement(queries, labels)
    for p, a, b in itertools.product(range(2), range(4), range(4)):
        pairs = [
            cosine(queries[i, p], queries[j, p])
            for i, j in itertools.permutations(range(7), 2)
            if labels[i] == a and labels[j] == b
        ]
        if pairs:
            assert float(found[p, a, b]) == pytest.approx(sum(pairs) / len(pairs))
        else:
            assert found[p, a, b].isnan()


def test_pass_agreement_is_the_mean_over_images():
    queries = float64(5, 3, 4)
    found = pass_agreement(queries)
    for p, q in itertools.product(range(3), range(3)):
        assert float(found[p, q]) == pytest.approx(sum(cosine(each[p], each[q]) for each in queries) / 5)


def test_labels_must_be_one_for_each_image():
    with pytest.raises(WorkbookValueError, match="5 images and labels of shape"):
        class_agreement(float64(5, 3, 4), torch.zeros(4, dtype=torch.long))
