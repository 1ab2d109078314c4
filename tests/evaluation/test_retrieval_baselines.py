"""What a search finds without learning, against galleries in random order and galleries that colour tells apart."""

import numpy as np
import pandas as pd
import pytest

from lib.data import ImageSet
from lib.evaluation.retrieval_baselines import chance_of_map, pixel_scores
from lib.retrieval.distances import Embedded
from lib.retrieval.ranking import retrieval_scores

IDENTITIES, CAMERAS = np.array([1, 1, 1, 2, 2, 3, 0, 0, -1, 2]), np.array([1, 2, 3, 1, 2, 2, 1, 2, 1, 3])


def test_chance_is_the_mean_over_random_orders():
    rng = np.random.default_rng(0)
    asked = np.array([1, 2, 3]), np.array([1, 1, 2])  # nobody else has seen 3: its query is left out
    found = []
    for _ in range(3000):
        query, gallery = (Embedded(rng.normal(size=(len(t[0]), 4)), *t) for t in (asked, (IDENTITIES, CAMERAS)))
        found.append(retrieval_scores(query, gallery, skip_unmatched=True).metrics()["map"])
    assert chance_of_map(query, gallery) == pytest.approx(np.mean(found), abs=4 * np.std(found) / np.sqrt(3000))


def test_a_gallery_where_everything_is_right():
    gallery = Embedded(np.ones((3, 2)), np.array([1, 1, 2]), np.array([2, 3, 1]))
    query = Embedded(np.ones((1, 2)), np.array([1]), np.array([1]))
    without = Embedded(np.ones((2, 2)), np.array([1, 1]), np.array([2, 3]))
    assert chance_of_map(query, without) == pytest.approx(1)
    assert chance_of_map(query, gallery) == pytest.approx((1 + (1 + 2 / 3) / 2 + (1 / 2 + 2 / 3) / 2) / 3)


def test_pixels_see_colours_and_where_they_are_but_not_the_light():
    red, blue = np.array([200, 20, 20]), np.array([20, 20, 200])
    pictures = np.zeros((6, 64, 32, 3), np.uint8)
    for i, (upper, lower) in enumerate([(red, blue), (blue, red)] * 3):
        pictures[i, :32], pictures[i, 32:] = upper + 5 * i, lower + 5 * i  # each camera has its own light
    rows = pd.DataFrame({"identity": [1, 2] * 3, "camera": [1, 1, 2, 2, 3, 3], "label": 0, "group": ""})
    images = ImageSet("people", ("1", "2"), rows)
    parts = pd.Series(["query"] * 2 + ["gallery"] * 4)
    assert pixel_scores(images, pictures, parts).metrics()["map"] == 1
