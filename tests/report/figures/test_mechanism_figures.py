import numpy as np
import pytest

from lib.report.figures.mechanism_figures import computed_maps
from lib.report.figures.style import PHANTOM_NOTE
from lib.training import RunConfig
from tests.evaluation.made_images import images_of


def test_every_map_is_shown_position_by_position_beside_the_image(tmp_path):
    images = images_of(tmp_path, RunConfig(attention="none", image_size=64), count=1)
    maps = {"S": np.arange(16.0).reshape(4, 4), "out − x": np.linspace(-2, 1, 16).reshape(4, 4)}
    fig = computed_maps(images, maps, query=(1, 3))
    image, first, second = [ax for ax in fig.axes if ax.images]
    assert first.images[0].get_array().shape == (4, 4)
    assert first.get_title() == "S\n0 … 15"
    assert second.get_title() == "out − x\n−2 … 1"
    assert second.images[0].get_clim() == (-2, 2)  # 0 in the middle of the colours
    assert np.array_equal(image.images[0].get_array(), images.sharp[0])
    np.testing.assert_allclose(first.lines[0].get_xydata(), [[3, 1]])
    assert image.lines[0].get_xydata()[0] == pytest.approx([174.5, 74.5])  # of 200 pixels, a quarter a position
    assert fig.get_supxlabel() == PHANTOM_NOTE
