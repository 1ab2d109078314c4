"""Drawn sets to train starting weights on: in the layouts of those that are tested on, with nobody and nothing of theirs."""

from collections import Counter
from itertools import combinations

import numpy as np

from lib.data import load_dataset
from lib.data.phantoms import birds, other_birds, other_people, wardrobe
from lib.data.phantoms.other_birds import other_bird
from lib.data.phantoms.other_people import FIRST, somebody
from lib.data.phantoms.person_drawing import camera, person


def test_no_kind_of_bird_is_in_both_sets():
    assert len(set(other_birds.KINDS.values())) == 18
    assert not {*other_birds.KINDS.values()} & {*birds.KINDS.values()}


def test_no_mark_of_the_other_birds_tells_another():
    for first, second in combinations(("crown", "wing", "tail", "beak"), 2):
        pairs = Counter((getattr(marks, first), getattr(marks, second)) for marks in other_birds.KINDS.values())
        assert len(set(pairs.values())) == 1
    assert {Counter(marks.ring for marks in other_birds.KINDS.values())[ring] for ring in (False, True)} <= {8, 9, 10}


def test_other_birds_lie_as_cub_does(tmp_path):
    images = load_dataset("phantom-birds-other", tmp_path, limit=108)
    assert images.is_phantom
    assert images.rows["part"].value_counts().to_dict() == {"train": 72, "test": 36}
    first, again, another = (other_bird("Other_00", number).picture for number in (0, 0, 1))
    assert (first == again).all()
    assert (first != another).any()


def test_nobody_and_no_camera_is_in_two_sets():
    seeds = (0, wardrobe.SEED, other_people.SEED)  # of phantom-people's default, first
    cameras = [camera(np.random.default_rng([seed, 1, n])).light.tolist() for seed in seeds for n in range(6)]
    people = [person(np.random.default_rng([seed, 2, n])).top.tolist() for seed in seeds for n in range(1, 41)]
    assert len(set(map(tuple, cameras))) == len(cameras)
    assert len(set(map(tuple, people))) == len(people)


def test_nobody_who_is_searched_for_has_the_shapes_of_another_whom_weights_know():
    known = {shapes(somebody(identity, np.random.default_rng(0))) for identity in range(FIRST, FIRST + 100)}
    assert len(known) == 100
    for seed in (0, wardrobe.SEED):
        searched = {shapes(person(np.random.default_rng([seed, 2, identity]))) for identity in range(2, 81, 2)}
        assert len(searched) > 30
        assert not known & searched


def shapes(who):
    return who.pattern, who.hat, who.bag, who.legs


def test_most_of_the_other_people_are_trained_on(tmp_path):
    images = load_dataset("phantom-people-other", tmp_path, limit=240)
    shown = images.rows[images.rows["identity"] > 0].groupby("part")["identity"].nunique()
    assert shown.to_dict() == {"train": 10, "query": 2, "gallery": 2}
    assert images.rows["camera"].nunique() > 12
