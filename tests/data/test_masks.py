import numpy as np

from lib.data import Truth, box_masks, load_dataset, masks_in_view


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
