"""Boxes, parts and masks lie where the network sees them, crop included."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lib.data import (
    Truth,
    box_masks,
    centre_view,
    load_dataset,
    load_pixels,
    masks_in_view,
    relative_boxes,
    stored_size,
    truth_in_view,
)
from lib.data.augmentation import in_centre_view
from lib.data.phantoms.bird_drawing import COLOURS
from lib.data.phantoms.birds import KINDS


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    return load_dataset("phantom-birds", tmp_path_factory.mktemp("birds"), limit=120)


@pytest.mark.parametrize(("size", "augmentation"), [((64, 48), "fine_grained"), ((37, 40), "none")])
def test_a_pixel_is_found_where_the_centre_view_shows_it(size, augmentation):
    height, width = (stored_size(side, augmentation) for side in size)
    numbers = torch.arange(float(height * width)).view(1, 1, height, width)
    seen = centre_view(numbers, augmentation)[0, 0].double().numpy()
    assert seen.shape == size
    y, x = np.divmod(seen, width)
    points = np.stack([(x + 0.5) / width, (y + 0.5) / height], axis=-1)  # where those pixels are in the whole picture
    at = in_centre_view(points, size, augmentation)
    np.testing.assert_allclose(at[..., 0], np.broadcast_to((np.arange(size[1]) + 0.5) / size[1], size))
    np.testing.assert_allclose(at[..., 1], np.broadcast_to((np.arange(size[0]) + 0.5)[:, None] / size[0], size))


def test_the_parts_colours_are_in_the_pixels_that_the_network_is_shown(birds, tmp_path):
    images, pixels = load_pixels(birds, stored_size(96, "fine_grained"), tmp_path)
    seen = centre_view(torch.from_numpy(pixels.astype(np.float32)).permute(0, 3, 1, 2), "fine_grained")
    truth = truth_in_view(images, (96, 96), "fine_grained")
    hues = np.array([np.subtract(rgb, np.mean(rgb)) for rgb in COLOURS.values()])
    hues /= np.linalg.norm(hues, axis=1, keepdims=True)
    right = []
    for i, label in enumerate(images.rows["label"]):
        marks = KINDS[images.classes[label]]
        for part in ("crown", "wing", "tail"):
            x, y = truth.places[i, truth.parts.index(part)]
            if np.isfinite(x):
                colour = seen[i, :, min(int(y * 96), 95), min(int(x * 96), 95)].numpy()
                right.append(list(COLOURS)[(hues @ (colour - colour.mean())).argmax()] == getattr(marks, part))
    assert len(right) > 250
    assert np.mean(right) > 0.85


def test_boxes_are_cut_to_the_view(birds):
    whole = truth_in_view(birds, (64, 64), "none").boxes
    x, y, width, height = relative_boxes(birds).T
    np.testing.assert_allclose(whole, np.stack([x, y, x + width, y + height], axis=1))
    cut = truth_in_view(birds, (64, 64), "fine_grained").boxes
    np.testing.assert_allclose(
        cut, np.clip((whole * 79 - 7) / 64, 0, 1)
    )  # 64 of the 79 pixels that are kept, from the 7th on


def test_hidden_parts_and_missing_boxes_are_nan(birds):
    truth = truth_in_view(birds, (64, 64), "none")
    assert truth.places.shape == (120, 5, 2)
    assert 0 < np.isnan(truth.places[..., 0]).mean() < 0.15
    bare = replace(birds, rows=birds.rows.assign(box=""))
    assert np.isnan(truth_in_view(bare, (64, 64), "none").boxes).all()
    corner = replace(birds, rows=birds.rows.assign(box="0 0 3 3"))  # which the crop leaves out
    assert np.isnan(truth_in_view(corner, (64, 64), "fine_grained").boxes).all()


def test_a_set_without_parts_has_none(birds, tmp_path):
    alone = tmp_path / "a.png"
    Image.new("RGB", (40, 20)).save(alone)
    rows = birds.rows.head(1).assign(path=str(alone), box="10 5 20 10")
    truth = truth_in_view(replace(birds, rows=rows), (64, 64), "none")
    assert truth.boxes.tolist() == [[0.25, 0.25, 0.75, 0.75]]
    assert truth.parts == ()
    assert truth.places.shape == (1, 0, 2)


def test_masks_are_squeezed_and_cropped_as_images_are(shared_ham):
    images = load_dataset("HAM10000", shared_ham)
    seen = masks_in_view(images, (30, 40), "none")  # as drawn: rows 5 to 19, columns 5 to 24
    assert seen.shape == (len(images.rows), 30, 40)
    assert seen.dtype == bool
    expected = np.zeros((30, 40), bool)
    expected[5:20, 5:25] = True
    assert (seen == expected).all()
    small = masks_in_view(images, (6, 8), "none")[0]
    assert (small == expected[::5, ::5]).all()
    partly = np.argwhere(masks_in_view(images, (7, 7), "none")[0])  # rows 1.17 to 4.67, columns 0.88 to 4.38
    assert partly.min(0).tolist() == [1, 1]
    assert partly.max(0).tolist() == [4, 3]
    cropped = masks_in_view(images, (30, 40), "fine_grained")[0]  # kept at 37×49, the middle 30×40 of it
    assert cropped[6:19, 3:25].mean() > 0.9
    assert cropped.sum() > expected.sum()


def test_an_image_without_a_mask_has_an_empty_one(shared_ham):
    images = load_dataset("HAM10000", shared_ham)
    images.rows.loc[0, "mask"] = ""
    seen = masks_in_view(images, (30, 40), "none")
    assert not seen[0].any()
    assert seen[1].any()


def test_a_box_holds_the_pixels_whose_middle_is_inside():
    truth = Truth(np.array([[0.25, 0.25, 0.75, 0.75], [np.nan] * 4]), (), np.empty((2, 0, 2)))
    found = box_masks(truth, (4, 8))
    assert found.shape == (2, 4, 8)
    assert np.argwhere(found[0]).min(0).tolist() == [1, 2]
    assert np.argwhere(found[0]).max(0).tolist() == [2, 5]
    assert found[0].sum() == 8
    assert not found[1].any()
