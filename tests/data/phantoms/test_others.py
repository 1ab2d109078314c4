"""Drawn sets to train starting weights on: in the layouts of those that are tested on, with nobody and nothing of theirs."""

import numpy as np

from lib.data import load_dataset
from lib.data.phantoms import birds, other_birds, other_people, wardrobe
from lib.data.phantoms.other_birds import other_bird
from lib.data.phantoms.person_drawing import camera, person


def test_no_kind_of_bird_is_in_both_sets():
    assert len(other_birds.KINDS) == len(set(other_birds.KINDS.values())) == 108 - len(birds.KINDS)
    assert not {*other_birds.KINDS.values()} & {*birds.KINDS.values()}


def test_other_birds_lie_as_cub_does(tmp_path):
    images = load_dataset("phantom-birds-other", tmp_path, limit=3 * len(other_birds.KINDS))
    assert images.is_phantom
    assert images.rows["part"].value_counts().to_dict() == {"train": 2 * 98, "test": 98}
    same = other_bird("red_red_red_long", 0), other_bird("red_red_red_long", 0), other_bird("red_red_red_long", 1)
    assert (same[0].picture == same[1].picture).all()
    assert (same[0].picture != same[2].picture).any()


def test_nobody_and_no_camera_is_in_two_sets():
    seeds = (0, wardrobe.SEED, other_people.SEED)  # of phantom-people's default, first
    cameras = [camera(np.random.default_rng([seed, 1, n])).light.tolist() for seed in seeds for n in range(6)]
    people = [person(np.random.default_rng([seed, 2, n])).top.tolist() for seed in seeds for n in range(1, 41)]
    assert len(set(map(tuple, cameras))) == len(cameras)
    assert len(set(map(tuple, people))) == len(people)


def test_most_of_the_other_people_are_trained_on(tmp_path):
    images = load_dataset("phantom-wardrobe-other", tmp_path, limit=400)
    shown = images.rows[images.rows["identity"] > 0].groupby("part")["identity"].nunique()
    assert shown.to_dict() == {"train": 18, "query": 2, "gallery": 2}
