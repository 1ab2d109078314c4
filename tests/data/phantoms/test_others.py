"""Drawn sets to train starting weights on: in the layouts of those that are tested on, with nobody and nothing of theirs."""

import colorsys

import numpy as np

from lib.data import load_dataset
from lib.data.phantoms import ambiguous, birds, discs, wardrobe
from lib.data.phantoms.glyph_drawing import DIRECTIONS, GLYPHS, GROUND, HUES, TILE
from lib.data.phantoms.others import other_birds, other_glyphs, other_people, other_wardrobe
from lib.data.phantoms.others.other_birds import other_bird
from lib.data.phantoms.others.other_people import FIRST, somebody
from lib.data.phantoms.others.other_wardrobe import KINDS, outfit, wearer
from lib.data.phantoms.person_drawing import CLOTHES, PALETTES, camera, person


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
    seeds = (0, wardrobe.SEED, other_people.SEED, other_wardrobe.SEED)  # of phantom-people's default, first
    cameras = [camera(np.random.default_rng([seed, 1, n])).light.tolist() for seed in seeds for n in range(6)]
    people = [person(np.random.default_rng([seed, 2, n])).top.tolist() for seed in seeds for n in range(1, 41)]
    assert len(set(map(tuple, cameras))) == len(cameras)
    assert len(set(map(tuple, people))) == len(people)


def test_nobody_who_is_searched_for_has_the_shapes_of_another_whom_weights_know():
    known = {shapes(somebody(identity, np.random.default_rng(0))) for identity in range(FIRST, FIRST + 100)}
    dressed_anew = {shapes(wearer(kind)) for kind in KINDS}
    assert (len(known), len(dressed_anew)) == (100, len(KINDS))
    known |= dressed_anew
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


def test_other_people_wear_other_clothes_before_another_camera_in_each_picture(monkeypatch):
    seen = []
    monkeypatch.setattr(other_wardrobe, "draw_person", lambda *arguments: seen.append(arguments))
    for number in (0, 1, 0):
        outfit("Person_00", number)
    (who, before, _), (same, elsewhere, _), (again, *_) = seen
    told_by = {*PALETTES} - {*CLOTHES}
    assert shapes(who) == shapes(same) == shapes(wearer("Person_00"))
    assert who.stout == same.stout
    assert all((getattr(who, name) == getattr(same, name)).all() for name in told_by)
    assert all((getattr(who, name) != getattr(same, name)).any() for name in CLOTHES)
    assert all((getattr(who, name) == getattr(again, name)).all() for name in CLOTHES)
    assert (before.light != elsewhere.light).any()


def test_no_grating_that_weights_know_is_asked_for_in_a_task():
    apart = [
        abs(np.sin(other.direction - direction))
        for other in discs.OTHER_GRATINGS.values()
        for direction in discs.DIRECTIONS.values()
    ]
    assert min(apart) > np.sin(4 * discs.TURN)  # of gratings that both turn a little
    assert discs.PERIOD not in {other.period for other in discs.OTHER_GRATINGS.values()}
    assert len({discs.PAIRS.seed, discs.SINGLE.seed, discs.PAIRS_CLINIC.seed, discs.GRATINGS.seed}) == 3


def test_other_gratings_lie_as_cub_does_and_are_drawn_as_they_are_called(tmp_path):
    images = load_dataset("phantom-gratings", tmp_path, limit=72)
    assert images.is_phantom
    assert images.rows["part"].value_counts().to_dict() == {"train": 48, "test": 24}
    drawn = [discs.discs(discs.GRATINGS, kind, number) for kind in discs.OTHER_GRATINGS for number in range(4)]
    kinds = [kind for kind in discs.OTHER_GRATINGS for _ in range(4)]
    assert [strongest(one.picture.mean(2), one.parts["grating"][:2]) for one in drawn] == kinds


def strongest(picture, place):
    """The kind of OTHER_GRATINGS whose wave has most energy at a place."""
    y, x = np.mgrid[: discs.SIDE, : discs.SIDE] - np.array(place[::-1])[:, None, None]
    seen = (picture - picture.mean()) * (np.hypot(x, y) < discs.RADIUS)
    energy = {
        kind: abs((seen * np.exp(2j * np.pi / period * (y * np.cos(turn) - x * np.sin(turn)))).sum())
        for kind, (turn, period) in discs.OTHER_GRATINGS.items()
    }
    return max(energy, key=energy.__getitem__)


def test_no_glyph_that_weights_know_is_in_a_task():
    def hue(colour):
        return 360 * colorsys.rgb_to_hsv(*colour)[0]

    known, asked = other_glyphs.OTHER_GLYPHS.values(), GLYPHS.values()
    assert not {mask.tobytes() for mask in known} & {mask.tobytes() for mask in asked}
    turns = [int(name.split()[1]) for name in other_glyphs.OTHER_BARS]
    assert min(abs((turn - other + 90) % 180 - 90) for turn in turns for other in DIRECTIONS.values()) == 15
    hues = [hue(colour) for name, colour in other_glyphs.OTHER_HUES.items() if name != "grey"]
    assert min(abs((one - hue(other) + 180) % 360 - 180) for one in hues for other in HUES.values()) > 30
    assert other_glyphs.SEED not in {0, ambiguous.CLEAR_SEED}


def test_other_glyphs_lie_as_cub_does_and_each_tile_is_what_they_are_called(tmp_path):
    kinds = other_glyphs.KINDS
    images = load_dataset("phantom-glyphs-other", tmp_path, limit=4 * len(kinds))
    assert images.is_phantom
    assert images.rows["part"].value_counts().to_dict() == {"train": 3 * len(kinds), "test": len(kinds)}
    for kind in kinds:
        assert nearest_kind(other_glyphs.other_glyph(kind, 0).picture) == kind


def nearest_kind(picture):
    """The kind of phantom-glyphs-other whose tile, in its own colour on grey, is nearest to the mean tile of a picture."""
    tile = picture.reshape(-1, TILE, picture.shape[1] // TILE, TILE, 3).mean((0, 2)) - GROUND
    apart = {}
    for kind, (hue, glyph) in other_glyphs.KINDS.items():
        ideal = other_glyphs.OTHER_GLYPHS[glyph][..., None] * (np.array(other_glyphs.OTHER_HUES[hue]) - GROUND)
        apart[kind] = np.linalg.norm(tile - ideal)
    return min(apart, key=apart.__getitem__)
