import pytest
import torch

from lib.errors import WorkbookError, WorkbookValueError
from lib.gattanet import batch_statistics, gains, logits_by_passes
from tests.gattanet.transcription import LAYERS, reference, toy
from tests.helpers import float64


def test_the_answer_after_each_number_of_passes_is_the_equations():
    model, images = toy(passes=2), float64(2, 3, 16, 16)
    with torch.no_grad():
        found = logits_by_passes(model, images, 3)
        torch.testing.assert_close(found[0], model.backbone(images))
        for passes in (1, 2, 3):
            slow, _, _ = reference(toy(passes=passes), images)
            torch.testing.assert_close(found[passes - 1], slow)
    assert model.passes == 2
    assert not torch.allclose(found[1], found[2])


def test_the_number_of_passes_stays_when_the_images_do_not_fit():
    model = toy(passes=2)
    with pytest.raises(Exception, match="size|shape|channels"):
        logits_by_passes(model, float64(2, 5, 16, 16), 4)
    assert model.passes == 2
    with pytest.raises(WorkbookValueError, match="most must be a whole number of at least 1, not 0"):
        logits_by_passes(model, float64(2, 3, 16, 16), 0)


def test_batch_statistics_normalise_as_training_does_and_change_nothing():
    model, images = toy(passes=3), float64(4, 3, 16, 16)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        running = model(images)
        with batch_statistics(model):
            found = model(images)
        assert {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])} == set()
        assert torch.equal(model(images), running)
        torch.testing.assert_close(found, model.train()(images))
    assert not torch.allclose(found, running)


def test_gains_are_the_factors_of_each_later_pass():
    model, images = toy(passes=3), float64(2, 3, 16, 16)
    with pytest.raises(WorkbookError, match="call the model in eval mode first"):
        gains(model)
    with torch.no_grad():
        model(images)
    _, _, gattas = reference(model, images)
    found = gains(model)
    assert list(found) == list(LAYERS)
    for i, name in enumerate(LAYERS):
        for later in (1, 2):
            torch.testing.assert_close(found[name][:, later - 1], 1 + model.agreement[i].alpha * gattas[later][name])


def test_a_single_pass_has_no_gains():
    model = toy(passes=1)
    model(float64(2, 3, 16, 16))
    with pytest.raises(WorkbookValueError, match="passes=1 is the backbone itself"):
        gains(model)
