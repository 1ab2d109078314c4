"""TestImages: what is kept, shown, answered and true stands in one order, and is what the test of a run saw."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lib.errors import WorkbookValueError
from lib.evaluation import test_images
from lib.evaluation.test_images import SHOWN, in_turn, select_images
from lib.training import RunConfig, RunStore, prepare
from lib.training.inference import decoded_size, network_input
from tests.evaluation.made_images import images_of, prepared_of

BIRDS = RunConfig(dataset="phantom-birds", image_size=32)


@pytest.fixture(scope="module")
def trained(finished):
    return finished, prepare(finished.config, RunStore(finished.path.parent))


def test_classes_take_turns():
    labels = np.array([0, 0, 0, 1, 2, 2, 9, 0])
    rows = np.array([0, 1, 3, 4, 5, 7])
    assert in_turn(rows, labels).tolist() == [0, 3, 4, 1, 5, 7]


def test_images_of_a_run_are_those_of_its_test_with_the_answers_that_it_gave(trained):
    run, prepared = trained
    images = select_images(run.config, prepared, 6, "classes in turn")
    model, kept = run.model(), run.predictions.set_index("image_id").loc[images.ids]
    probabilities = images.probabilities(model)
    answers = probabilities.argmax(1)
    assert len(images) == len(images.shown) == 6
    assert images.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert images.names() == kept["label"].tolist()
    assert images.names(answers) == [f"{row.label} → {row.prediction}" for row in kept.itertuples()]
    assert images.groups.tolist() == kept["group"].tolist()
    np.testing.assert_allclose(probabilities, kept.filter(like="prob_"), atol=1e-6)
    with torch.no_grad():
        assert np.allclose(model(images.batch(model)).softmax(1), probabilities, atol=1e-6)
    assert images.shown.shape == (6, *run.config.size, 3)
    assert images.masks.shape == images.shown.shape[:3]
    assert images.masks.mean() == pytest.approx(20 * 15 / 1200, abs=0.02)  # of every image
    assert (
        images.first_of_each_class.tolist()
        == images[[5, 4, 3, 2, 1, 0]].first_of_each_class[::-1].tolist()
        == [*range(6)]
    )
    assert images[[3, 1, 3]].ids == [images.ids[n] for n in (3, 1, 3)]
    assert np.array_equal(images[4:].pixels, images.pixels[4:])


def test_all_of_the_test_part_some_of_it_or_single_images_are_chosen(trained):
    run, prepared = trained
    whole = select_images(run.config, prepared)
    assert whole.ids == run.predictions["image_id"].tolist()
    assert select_images(run.config, prepared, 5).ids == whole.ids[:5]
    order = np.random.default_rng(3).permutation(len(whole))[:5]
    assert select_images(run.config, prepared, 5, "shuffled", seed=3).ids == whole[order].ids
    assert select_images(run.config, prepared, ids=whole.ids[7:3:-1]).ids == whole.ids[7:3:-1]


def test_batches_are_all_of_the_images(trained, monkeypatch):
    monkeypatch.setattr(test_images, "BATCH", 8)
    run, prepared = trained
    images, model = select_images(run.config, prepared), run.model()
    batches = list(images.batches(model))
    assert {len(batch) for batch in batches[:-1]} == {8}
    assert torch.equal(torch.cat(batches), images.batch(model))


def test_where_training_crops_the_middle_is_shown(tmp_path):
    images = images_of(tmp_path, BIRDS)
    assert images.pixels.shape[1:3] == decoded_size(BIRDS) == (39, 39)
    assert np.array_equal(images.shown, images.pixels[:, 3:35, 3:35])
    model = torch.nn.Linear(1, 1)
    assert torch.equal(images.batch(model), network_input(model, images.pixels, "fine_grained"))


def test_the_sharp_picture_is_the_middle_where_training_crops(tmp_path):
    prepared = prepared_of(tmp_path, BIRDS, count=1)
    pixels = np.zeros((550, 550, 3), np.uint8)
    pixels[51:499, 51:499] = 255  # 448 of 550: the middle that a network for fine-grained recognition sees
    Image.fromarray(pixels).save(prepared.images.rows["path"][0])
    whole, middle = (
        select_images(BIRDS.replace(augmentation=name), prepared).sharp[0] for name in ("none", "fine_grained")
    )
    assert whole.shape == middle.shape == (SHOWN, SHOWN, 3)
    assert middle[2:-2, 2:-2].min() > 250
    assert whole[:10].max() < 5


def test_the_banner_that_a_set_cuts_off_is_in_no_picture(tmp_path):
    images = images_of(tmp_path, BIRDS.replace(augmentation="none"), banner=20)
    assert max(images.shown.max(), images.sharp.max(), images.resized((64, 48)).max()) < 250
    assert images.resized((64, 48)).shape == (4, 64, 48, 3)


def test_sharp_pictures_have_the_shape_of_the_networks_view(tmp_path):
    images = images_of(tmp_path, BIRDS.replace(image_size=64, image_width=32))
    assert images.shown.shape[1:3] == (64, 32)
    assert images.sharp.shape[1:3] == (SHOWN, SHOWN // 2)


def test_a_set_without_masks_has_boxes_or_nothing(trained, tmp_path):
    run, prepared = trained
    bare = prepared.images.rows.assign(mask="")
    boxed = bare.assign(box="0 0 20 30")  # the left half of 40 × 30 pixels
    without, with_boxes = (
        select_images(run.config, prepared._replace(images=replace(prepared.images, rows=rows)), 2).masks
        for rows in (bare, boxed)
    )
    assert without is None
    empty = tmp_path / "empty.png"
    Image.new("L", (40, 30)).save(empty)
    of_empty = prepared._replace(images=replace(prepared.images, rows=bare.assign(mask=str(empty))))
    assert select_images(run.config, of_empty, 2).masks is None
    assert with_boxes[:, :, :16].all()
    assert not with_boxes[:, :, 16:].any()


def test_what_cannot_be_chosen_is_an_error(trained):
    run, prepared = trained
    with pytest.raises(WorkbookValueError, match="count must be"):
        select_images(run.config, prepared, 0)
    with pytest.raises(WorkbookValueError, match="Unknown order 'shufled'. Did you mean 'shuffled'"):
        select_images(run.config, prepared, 2, "shufled")
    with pytest.raises(WorkbookValueError, match="has no image 'nowhere'"):
        select_images(run.config, prepared, ids=["nowhere"])
