"""The measures of where a map looks, against closed forms."""

import numpy as np
import pytest

from lib.data import Truth
from lib.errors import WorkbookValueError
from lib.evaluation.attention_measures import (
    NAMES,
    coverage,
    entropy,
    measures,
    pointing_game,
    reference_maps,
    share_at_parts,
    share_in_box,
    shares,
)

EVEN = np.ones((1, 4, 8))
BOX = np.array([[0.25, 0.5, 0.75, 1.0]])  # left, top, right, bottom


def lit(row, column, height=4, width=8):
    found = np.zeros((1, height, width))
    found[0, row, column] = 3.0
    return found


def test_entropy_is_one_for_an_even_map_and_zero_for_a_single_patch():
    assert entropy(EVEN) == pytest.approx(1)
    assert entropy(lit(2, 3)) == pytest.approx(0)
    assert entropy(lit(2, 3) + lit(0, 0)) == pytest.approx(np.log(2) / np.log(32))
    maps = np.random.default_rng(0).random((5, 4, 8))
    np.testing.assert_allclose(entropy(7 * maps), entropy(maps))


def test_the_share_in_a_box_counts_patches_with_the_part_inside():
    assert share_in_box(EVEN, BOX) == pytest.approx(0.25)  # the box's area
    assert share_in_box(EVEN, np.array([[0.1, 0.2, 0.33, 0.77]])) == pytest.approx(0.23 * 0.57)
    assert share_in_box(lit(3, 2), BOX) == pytest.approx(1)
    assert share_in_box(lit(0, 2), BOX) == pytest.approx(0)  # above it
    assert share_in_box(lit(3, 0), BOX) == pytest.approx(0)  # left of it
    assert share_in_box(lit(3, 2), np.array([[0.3, 0.8, 1, 1]])) == pytest.approx((0.375 - 0.3) * 8 * (1 - 0.8) * 4)
    assert np.isnan(share_in_box(EVEN, np.full((1, 4), np.nan))).all()


def test_coverage_is_the_area_of_the_box_that_gets_more_than_the_even_share():
    within = np.zeros((1, 4, 8))
    within[0, 2:, 2:6] = 1  # the box's patches, all of them inside
    assert coverage(within, BOX) == pytest.approx(1)
    assert coverage(lit(3, 2), BOX) == pytest.approx(1 / 8)  # one of them
    assert coverage(lit(3, 2) + lit(2, 5), BOX) == pytest.approx(2 / 8)
    assert coverage(within + 0.5 * EVEN, BOX) == pytest.approx(1)  # the rest is less than even
    assert coverage(EVEN - within, BOX) == pytest.approx(0)  # attention outside only
    assert coverage(EVEN, BOX) == pytest.approx(0)
    assert coverage(np.float32(0.1) * EVEN + 1e-8 * within, BOX) == pytest.approx(0)  # even but for rounding
    assert np.isnan(coverage(EVEN, np.full((1, 4), np.nan))).all()


def test_a_patch_covers_the_part_of_it_that_is_in_the_box():
    box = np.array([[0.3, 0.8, 1, 1]])
    part = (0.375 - 0.3) * (1 - 0.8)  # of patch (3, 2), as an area
    assert coverage(lit(3, 2), box) == pytest.approx(part / (0.7 * 0.2))
    assert share_in_box(lit(3, 2), box) == pytest.approx(part * 32)
    both = coverage(np.concatenate([lit(3, 2), lit(0, 0)]), np.concatenate([box, BOX]))
    np.testing.assert_allclose(both, [part / (0.7 * 0.2), 0])


def test_the_share_at_parts_of_an_even_map_is_the_area_of_their_discs():
    fine = np.ones((1, 40, 40))
    one, two = np.array([[[0.5, 0.5]]]), np.array([[[0.3, 0.3], [0.7, 0.7]]])
    assert share_at_parts(fine, one, 0.1) == pytest.approx(np.pi * 0.01, rel=0.01)
    assert share_at_parts(fine, two, 0.1) == pytest.approx(2 * np.pi * 0.01, rel=0.01)
    same = np.repeat(one, 2, axis=1)
    assert share_at_parts(fine, same, 0.1) == share_at_parts(fine, one, 0.1)  # a place counts once
    hidden = np.concatenate([one, np.full((1, 1, 2), np.nan)], axis=1)
    assert share_at_parts(fine, hidden, 0.1) == share_at_parts(fine, one, 0.1)
    assert np.isnan(share_at_parts(fine, np.full((1, 2, 2), np.nan))).all()


def test_x_goes_to_the_right_and_y_down():
    place = np.array([[[0.9, 0.1]]])  # right, above
    assert share_at_parts(lit(0, 7), place, 0.3) > 0.9
    assert share_at_parts(lit(3, 0), place, 0.3) == 0
    assert pointing_game(lit(0, 7), place, 0.1) == 1


def test_the_pointing_game_is_won_by_the_greatest_patch_and_shared_by_equals():
    places = np.array([[[0.5 / 8, 0.5 / 4], [np.nan, np.nan]]])  # the middle of patch (0, 0), and a hidden part
    assert pointing_game(lit(0, 0), places) == 1
    assert pointing_game(lit(0, 0) + lit(3, 3) * 0.9, places) == 1
    assert pointing_game(lit(0, 0) * 0.9 + lit(3, 3), places) == 0
    assert pointing_game(lit(0, 0) + lit(3, 3), places) == 0.5
    assert pointing_game(EVEN, places) == pytest.approx(1 / 32)
    assert np.isnan(pointing_game(EVEN, np.full((1, 2, 2), np.nan))).all()


def test_what_a_set_does_not_tell_is_not_measured():
    some = Truth(BOX, ("crown",), np.array([[[0.5, 0.5]]]))
    assert set(measures(EVEN, some)) == {"at the crown", *NAMES}
    none = Truth(np.full((1, 4), np.nan), (), np.empty((1, 0, 2)))
    assert set(measures(EVEN, none)) == {"entropy"}


def test_the_floors_know_nothing_of_the_image():
    even, centre = reference_maps(4, 8, 3).values()
    assert even.shape == centre.shape == (3, 4, 8)
    assert entropy(even) == pytest.approx(1)
    np.testing.assert_allclose(centre, centre[:, ::-1, ::-1])
    assert shares(centre)[0, 1:3, 2:6].sum() > 0.4


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (-EVEN, "Map 0 cannot be shared out"),
        (0 * EVEN, "Map 0 cannot be shared out"),
        (np.nan * EVEN, "Map 0 cannot be shared out"),
        (np.concatenate([EVEN, lit(0, 0) - lit(1, 1) / 2]), "Map 1 .* not a signed attribution"),
        (EVEN[0], r"shape \[N, h, w\], not \[4, 8\]"),
        (np.ones((2, 1, 1)), "single patch"),
    ],
)
def test_bad_maps(maps, message):
    with pytest.raises(WorkbookValueError, match=message):
        entropy(maps)
