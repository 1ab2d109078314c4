"""The figures of notebook 07."""

import numpy as np
import pytest

from lib.evaluation.pass_study import pass_changes
from lib.report.figures.gattanet_figures import agreement_maps, modulation, passes_figure, query_agreement
from lib.report.figures.style import PHANTOM_NOTE
from lib.training import RunConfig
from tests.evaluation.made_images import images_of


@pytest.mark.parametrize("phantom", [False, True])
def test_every_figure_draws_and_says_what_is_drawn(phantom, tmp_path):
    rng = np.random.default_rng(0)
    gains = {"net.conv1": 1 + 0.01 * rng.normal(size=(2, 2, 5, 4)), "net.dense1": np.ones((2, 2, 7))}
    changes = pass_changes(rng.normal(size=(4, 6, 3)), rng.integers(0, 3, 6))
    images = images_of(tmp_path, RunConfig(dataset="digits", image_size=32), count=2, phantom=phantom)
    between = rng.uniform(0.9, 1, size=(3, 2, 2))
    drawn = {
        "passes": passes_figure({"running": [changes, changes]}, 2, phantom),
        "alpha": modulation(rng.normal(size=(3, 2)), gains, phantom),
        "maps": agreement_maps(images, gains, ["0 → 0", "1 → 2"]),
        "queries": query_agreement(between, np.eye(3), ["mel", "nv"], phantom),
    }
    for figure in drawn.values():
        figure.canvas.draw()
        assert (figure.get_supxlabel() == PHANTOM_NOTE) == phantom
    assert [ax.get_title().split("\n")[0] for ax in drawn["maps"].axes[:3]] == [
        "0 → 0",
        "conv1, pass 2",
        "conv1, pass 3",
    ]
    assert len(drawn["maps"].axes) == 2 * 3  # the dense layer has no map
    shown = drawn["maps"].axes[1].images[0]
    assert np.allclose(shown.get_array(), 100 * (gains["net.conv1"][0, 0] - 1))
    assert shown.norm.vmin == -shown.norm.vmax


def test_a_class_without_a_pair_of_images_leaves_a_gap():
    between = np.full((2, 3, 3), np.nan)
    between[:, 0, 1] = between[:, 1, 0] = 0.95
    query_agreement(between, np.eye(2), ["a", "b", "c"], phantom=False).canvas.draw()
