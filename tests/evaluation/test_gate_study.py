"""LESA's gate on images of some classes against others, and what is lost on them without a term."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lib import create_model
from lib.data.phantoms.scales import CONTEXT, NEIGHBOURHOOD
from lib.errors import WorkbookValueError
from lib.evaluation.gate_study import compare_gates, compare_term, gates_of
from lib.evaluation.part_accuracy import compare_on, images_of
from lib.evaluation.term_ablation import ablated_answers
from lib.evaluation.test_images import select_images
from lib.lesa import without
from lib.training import RunStore, prepare, profile_config
from tests.helpers import randomised


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gates")
    made = []
    for seed in range(2):
        config = profile_config("scales", limit_images=120, data_root=str(folder / "data"), seed=seed)
        torch.manual_seed(seed)
        model = create_model("resnet14_patches", num_classes=4, attn_type="lesa", image_size=(40, 40))
        model = randomised(model).float().eval()
        run = SimpleNamespace(path=folder / "runs" / f"s{seed}", config=config)
        run.model = partial(lambda network: network, model)
        whole = ablated_answers(run.model(), images_of_test(run))
        run.predictions, run.classes, run.metrics = whole.predictions, whole.classes, whole.metrics
        made.append(run)
    return made


def images_of_test(run):
    return select_images(run.config, prepare(run.config, RunStore(run.path.parent)))


def test_gates_are_means_over_channels_and_positions(runs):
    images = images_of_test(runs[0])
    gates = gates_of(runs, images)
    assert gates.shape == (2, len(images))
    model = runs[0].model()
    with torch.inference_mode():
        model(images.batch(model))
    np.testing.assert_allclose(gates[0], model.maps()["gate"].mean((1, 2, 3)), rtol=1e-5)


def test_gates_of_some_classes_minus_those_of_others(runs):
    images = images_of_test(runs[0])
    of_context = np.isin(images.names(), CONTEXT)
    gates = gates_of(runs, images)
    found = compare_gates(runs, CONTEXT, NEIGHBOURHOOD)
    assert found.difference == pytest.approx(gates[:, of_context].mean() - gates[:, ~of_context].mean(), abs=1e-6)
    assert found.low < found.difference < found.high
    assert compare_gates(runs, NEIGHBOURHOOD, CONTEXT).difference == pytest.approx(-found.difference)
    with pytest.raises(WorkbookValueError, match="no test image of"):
        compare_gates(runs, ("motive",), CONTEXT)
    with pytest.raises(WorkbookValueError, match="no networks"):
        compare_gates([], CONTEXT, NEIGHBOURHOOD)


def test_a_term_is_missed_on_the_images_that_are_asked_for(runs):
    images, ablated = images_of_test(runs[0]), []
    for run in runs:
        with without(run.model(), "context"):
            ablated.append(ablated_answers(run.model(), images))
    expected = compare_on(runs, ablated, images_of(runs[0], CONTEXT), same_networks=True)
    found = compare_term(runs, "context", CONTEXT)
    assert (found.difference, found.low, found.high) == (expected.difference, expected.low, expected.high)
    assert found.difference != compare_term(runs, "local", CONTEXT).difference
