"""phantom-wardrobe: Market-1501's layout, and people whom the colour of their clothes does not tell."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from lib.data import load_dataset, load_pixels, split_identities
from lib.data.phantoms.person_drawing import CLOTHES, PALETTES, SHAPES, changed, person
from lib.data.phantoms.wardrobe import SEED, draw_wardrobe
from lib.data.sets.reid import load_market
from lib.evaluation.retrieval_baselines import chance_of_map, pixel_scores
from lib.retrieval.ranking import retrieval_scores
from lib.training import profile_config
from lib.training.build_model import build_model
from lib.training.identities import embedded
from lib.training.testing import query_and_gallery

IMAGES = 320


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("wardrobe")


@pytest.fixture(scope="module")
def people(folder):
    return load_market(draw_wardrobe(folder / f"{IMAGES}-images", IMAGES), "phantom-wardrobe")


def test_it_loads_by_name_as_a_phantom(folder, people):
    images = load_dataset("phantom-wardrobe", folder, limit=IMAGES)
    assert (images.is_phantom, images.is_reid, len(images.rows)) == (True, True, len(people.rows))
    assert {"train", "val_query", "val_gallery", "query", "gallery"} == set(split_identities(images, 0.25))


def test_the_clothes_colours_change_and_nothing_else():
    rng = np.random.default_rng(0)
    who = person(rng)
    other = changed(who, rng)
    assert {f.name for f in fields(who)} == {*PALETTES, *SHAPES, "stout"}
    assert all(np.abs(getattr(who, name) - getattr(other, name)).max() > 1 for name in CLOTHES)
    assert all(getattr(who, name) is getattr(other, name) for name in {*PALETTES} - {*CLOTHES})
    assert all(getattr(who, name) == getattr(other, name) for name in (*SHAPES, "stout"))


def test_pixels_find_few_networks_many_and_shapes_almost_everybody(people, folder):
    """The bracket: chance, raw pixels, a network that has learned other people and has seen nobody here, an oracle on what was
    drawn."""
    parts = split_identities(people, 0.25)
    decoded = load_pixels(people, (64, 32), folder / "cache")
    pixels = pixel_scores(*decoded, parts).metrics()["map"]
    query, gallery = (_oracle(people.rows[parts == part]) for part in ("query", "gallery"))
    chance = chance_of_map(query, gallery)
    found = retrieval_scores(query, gallery, "euclidean", skip_unmatched=True).metrics()["map"]
    config = profile_config("wardrobe", attention="SA")
    network = build_model(config, len(people.classes)).eval()
    seen = retrieval_scores(*query_and_gallery(network, config, *decoded, parts), "cosine", skip_unmatched=True)
    assert pixels < chance + 0.2
    assert seen.metrics()["map"] > pixels + 0.2
    assert found > 0.85
    assert seen.metrics()["map"] < found


def _oracle(rows):
    """The four shapes of each image's person, one-hot; of a stray, none."""
    vectors = np.zeros((len(rows), sum(map(len, SHAPES.values()))), np.float32)
    for vector, identity in zip(vectors, rows["identity"], strict=True):
        if identity > 0:
            who = person(np.random.default_rng([SEED, 2, identity]))
            vector[:] = np.concatenate([[name == getattr(who, of) for name in names] for of, names in SHAPES.items()])
    return embedded(torch.from_numpy(vectors), rows)
