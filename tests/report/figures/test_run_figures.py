"""Pictures and titles of notebook 02 show what the network was shown in its test."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.evaluation.test_images import SHOWN
from lib.report.figures.run_figures import block_maps, hardest
from lib.training import RunConfig
from lib.training.build_model import build_model
from tests.evaluation.made_images import CLASSES, images_of, prepared_of

BIRDS = RunConfig(dataset="phantom-birds", attention="CBAM", fusion_strategy="learnable_gate", image_size=64)


def pictures(fig):
    return [np.asarray(image.get_array()) for ax in fig.axes for image in ax.images if image.get_array().ndim == 3]


def test_blocks_are_shown_the_middle_where_training_crops(tmp_path):
    images = images_of(tmp_path, BIRDS, count=2)
    model = build_model(BIRDS, 2, pretrained=False).eval()
    fig = block_maps(model, images)
    probabilities = images.probabilities(model)
    titles = images.names(probabilities.argmax(1))
    expected = [f"{title} ({100 * p:.0f} %)" for title, p in zip(titles, probabilities.max(1), strict=True)]
    assert [ax.get_title() for ax in fig.axes if "→" in ax.get_title()] == expected
    shown, *sharp = pictures(fig)
    assert np.array_equal(shown, images.shown[0])
    assert np.array_equal(sharp[0], images.sharp[0])
    gate = next(ax for ax in fig.axes if ax.get_title().startswith("fusion gate"))
    assert gate.images[1].get_array().shape == (4, 4)  # of 64 pixels, not of the 79 that are kept


def test_the_query_is_marked_on_every_map_that_has_it(tmp_path):
    config = BIRDS.replace(fusion_strategy="cross_attn")
    fig = block_maps(build_model(config, 2, pretrained=False), images_of(tmp_path, config, count=1), query=(1, 3))
    marks = {ax.get_title().split("\n")[0]: [line.get_xydata()[0] for line in ax.lines] for ax in fig.axes[1:]}
    assert marks["local spatial"] == []
    for at in (marks["global"], marks["fusion attention"]):
        np.testing.assert_allclose(at, [[3.5 * SHOWN / 4 - 0.5, 1.5 * SHOWN / 4 - 0.5]])


@pytest.mark.parametrize("augmentation", ["none", "fine_grained"])
def test_no_figure_shows_the_banner_that_a_set_cuts_off(tmp_path, augmentation):
    config = BIRDS.replace(augmentation=augmentation)
    images = images_of(tmp_path, config, banner=40)
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    table = pd.DataFrame({"image_id": images.ids, "label": images.names(), "prediction": "A_Bird"})
    table[[f"prob_{name}" for name in CLASSES]] = probabilities
    run = SimpleNamespace(config=config, predictions=table, probabilities=probabilities, labels=images.labels)
    worst = hardest(run, prepared_of(tmp_path, config, banner=40), count=3)
    assert [ax.get_title().split("\n")[0] for ax in worst.axes[:3]] == ["i1", "i2", "i3"]
    blocks = block_maps(build_model(config, 2, pretrained=False), images)
    for fig in (worst, blocks):
        assert max(image.max() for image in pictures(fig)) < 250
    assert pictures(worst)[0].shape == (SHOWN, SHOWN, 3)
