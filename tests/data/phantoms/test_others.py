"""Drawn sets to train starting weights on: in the layouts of those that are tested on, with nobody and nothing of theirs."""

import numpy as np

from lib.data import load_dataset
from lib.data.phantoms import birds, other_birds, other_people, wardrobe
from lib.data.phantoms.other_birds import other_bird
from lib.data.phantoms.other_people import FIRST, somebody
from lib.data.phantoms.person_drawing import camera, person


def test_no_kind_of_bird_is_in_both_sets():
    assert not {*other_birds.KINDS.values()} & {*birds.KINDS.values()}


def test_the_kinds_of_both_sets_are_all_that_three_colours_in_any_order_can_make():
    every = {*other_birds.KINDS.values(), *birds.KINDS.values()}
    assert len(every) == len(other_birds.KINDS) + len(birds.KINDS) == 6 * 2 * 2
    assert {len({marks.crown, marks.wing, marks.tail}) for marks in every} == {3}


def test_other_birds_lie_as_cub_does(tmp_path):
    images = load_dataset("phantom-birds-other", tmp_path, limit=84)
    assert images.is_phantom
    assert images.rows["part"].value_counts().to_dict() == {"train": 56, "test": 28}
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
