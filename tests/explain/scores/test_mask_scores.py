"""Does a map lie on the object? Closed forms, and slow loops."""

import numpy as np
import pytest
import torch

from lib.errors import WorkbookValueError
from lib.explain.scores.mask_scores import energy_inside, overlap, pointing_game

MASK = np.zeros((1, 4, 6), bool)
MASK[0, 1:3, 2:5] = True  # 6 of 24 pixels


def lit(*places):
    maps = torch.zeros(1, 4, 6)
    for y, x, value in places:
        maps[0, y, x] = value
    return maps


def test_the_mask_itself_wins_all_and_its_negative_loses_all():
    planted, wrong = torch.from_numpy(MASK).float(), torch.from_numpy(~MASK).float()
    for score in (pointing_game, energy_inside, overlap):
        assert score(planted, MASK) == 1
        assert score(wrong, MASK) == 0


def test_the_pointing_game_is_shared_by_equals():
    assert pointing_game(lit((1, 2, 0.5), (0, 0, 0.4)), MASK) == 1
    assert pointing_game(lit((1, 2, 0.4), (0, 0, 0.5)), MASK) == 0
    assert pointing_game(lit((1, 2, 0.5), (0, 0, 0.5)), MASK) == 0.5
    assert pointing_game(torch.zeros(1, 4, 6), MASK) == 6 / 24


def test_energy_is_the_share_of_the_sum():
    assert energy_inside(lit((1, 2, 0.3), (0, 0, 0.1)), MASK) == pytest.approx(0.75)
    assert energy_inside(torch.zeros(1, 4, 6), MASK) == 6 / 24


def test_overlap_takes_as_many_pixels_as_the_mask_has():
    maps = torch.rand(5, 4, 6, generator=torch.Generator().manual_seed(0))
    found = overlap(maps, np.repeat(MASK, 5, 0))
    for each, value in zip(maps.numpy(), found, strict=True):
        top = {tuple(p) for p in np.argwhere(each >= np.sort(each.ravel())[-6])}
        truth = {tuple(p) for p in np.argwhere(MASK[0])}
        assert value == pytest.approx(len(top & truth) / len(top | truth))


def test_an_image_without_a_mask_has_no_score():
    both = np.concatenate([MASK, np.zeros_like(MASK)])
    maps = torch.from_numpy(both).float()
    for score in (pointing_game, energy_inside, overlap):
        np.testing.assert_array_equal(score(maps, both), [1, np.nan])


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (torch.zeros(1, 4, 6), MASK.astype(np.uint8), "bool .*not uint8"),
        (torch.zeros(1, 4, 5), MASK, r"not bool \[1, 4, 6\]"),
        (-torch.ones(1, 4, 6), MASK, "nowhere negative"),
        (torch.zeros(4, 6), MASK, r"shape \[N, H, W\]"),
        (torch.full((1, 4, 6), float("inf")), MASK, "not finite"),
    ],
)
def test_what_does_not_fit(maps, masks, message):
    with pytest.raises(WorkbookValueError, match=message):
        energy_inside(maps, masks)
