"""The calls that views tell draw what the views show; colours that are maps survive eyes that see few, and print."""

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from lib.errors import WorkbookValueError
from lib.explain import explore
from lib.explain.views.network_answers import NetworkAnswers
from lib.explain.views.networks import Networks
from lib.explain.views.packing import COLOURS
from lib.explain.views.pictures import Pictures
from lib.explain.views.view_figures import explorer_figure, map_figure
from lib.training.training_data import load_images

# Linear RGB → what an eye without cones for red, green and blue sees (Machado et al., IEEE TVCG 2009, severity 1).
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("eyes", BLINDNESS)
@pytest.mark.parametrize("name", COLOURS)
def test_a_greater_value_is_lighter_for_all_eyes_and_in_grey_print(name, eyes):
    rgb = mpl.colormaps[name](np.linspace(0, 1, 33))[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(BLINDNESS[eyes]).T, 0, 1)
    assert (np.diff(seen @ [0.2126, 0.7152, 0.0722]) > 0).all()


@pytest.mark.parametrize(("method", "target"), [("grad-cam", 3), ("grad-cam", "truth")])
def test_a_networks_map_is_drawn_as_the_live_explorer_shows_it(finished, method, target):
    images = load_images(finished.config)
    image = images.rows["image_id"].iloc[5]
    figure = map_figure(finished.path, image, method, target, colours="viridis")
    *_, (told, levels) = NetworkAnswers(Networks(finished), Pictures(images)).show_map(
        image=image, network=finished.path.name, method=method, target=target, layer="", head=0, at=None
    )
    ax, bar = figure.axes
    np.testing.assert_array_equal(ax.images[1].get_array().ravel(), np.frombuffer(levels, np.uint8))
    assert image in ax.get_title(loc="center").replace("\n", " ")
    assert [label.get_text() for label in bar.get_xticklabels()] == [f"{told[end]:.3g}" for end in ("low", "high")]


def test_a_file_of_ones_own_is_drawn(finished, tmp_path):
    Image.new("RGB", (60, 40), "green").save(tmp_path / "mine.png")
    ax, _ = map_figure(finished, tmp_path / "mine.png", "grad-cam").axes
    assert "mine.png" in ax.get_title(loc="center")


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"image": "x"}, "image 'x'"), ({"layer": "9"}, "layer '9'"), ({"at": (9, 0)}, r"no query position \(9, 0\)")],
)
def test_what_a_view_has_not_is_named(changed, message):
    view = explore(np.zeros((1, 8, 8, 3), np.uint8), {"net": {"asked": np.zeros((1, 1, 2, 2, 2, 2))}}, names=["one"])
    with pytest.raises(WorkbookValueError, match=message):
        explorer_figure(view, **{"image": "one", "model": "net", "kind": "asked", "layer": "", "at": (0, 0)} | changed)


def test_what_is_enlarged_in_the_view_is_in_its_figure(finished):
    image = load_images(finished.config).rows["image_id"].iloc[5]
    whole, part = (
        map_figure(finished, image, "grad-cam", **of).axes[0] for of in ({}, {"zoom": 4, "middle": (0.5, 0.25)})
    )
    (left, right), (bottom, top) = whole.get_xlim(), whole.get_ylim()
    assert part.get_xlim() == pytest.approx((left + (right - left) / 8, left + 3 * (right - left) / 8))
    assert part.get_ylim() == pytest.approx((bottom + 3 * (top - bottom) / 8, bottom + 5 * (top - bottom) / 8))
