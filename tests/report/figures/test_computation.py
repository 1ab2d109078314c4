"""A row of panels shows the computation's own numbers: maps over images, matrices, and the query's place."""

import numpy as np

from lib.data import Truth
from lib.report.figures.computation import Panel, computation
from lib.report.figures.style import PHANTOM_NOTE, png_of
from lib.training import RunConfig
from tests.evaluation.made_images import images_of


def test_panels_show_what_was_computed(tmp_path):
    config = RunConfig(dataset="phantom-birds", image_size=32)
    images = images_of(tmp_path, config, Truth(np.full((2, 4), np.nan), (), np.empty((2, 0, 2))), count=2)
    heat, matrix = np.arange(16.0).reshape(4, 4), np.eye(5)
    panels = [
        Panel("the image", image=1),
        Panel("a map", heat, 0, query=(1, 3)),
        Panel("a choice", heat > 7, 0),
        Panel("a matrix", matrix),
    ]
    fig = computation(images, panels)
    fig.canvas.draw()
    assert [ax.get_title() for ax in fig.axes] == ["the image", "a map", "a choice", "a matrix"]
    shown = [[np.asarray(drawn.get_array()) for drawn in ax.images] for ax in fig.axes]
    np.testing.assert_array_equal(shown[0][0], images.sharp[1])
    np.testing.assert_array_equal(shown[1][1], heat)
    np.testing.assert_array_equal(shown[2][0][-1], images.sharp[0][-1])  # the lowest row is chosen
    np.testing.assert_array_equal(shown[2][0][0], (images.sharp[0][0] * 0.25).astype(np.uint8))
    np.testing.assert_array_equal(shown[3][0], matrix)
    side = images.sharp.shape[1]
    (cross,) = fig.axes[1].lines
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (3.5 * side / 4, 1.5 * side / 4)
    assert fig.get_supxlabel() == PHANTOM_NOTE


def test_a_map_of_both_signs_is_red_above_zero_and_blue_below(tmp_path):
    images = images_of(tmp_path, RunConfig(attention="none", image_size=32), count=1)
    (ax,) = computation(images, [Panel("out − x", np.linspace(-2, 1, 16).reshape(4, 4), 0, query=(0, 0))]).axes
    (shown,) = ax.images  # without the image below it
    assert shown.get_clim() == (-2, 2)
    assert ax.lines[0].get_xydata()[0].tolist() == [0.5 * images.sharp.shape[2] / 4] * 2


def test_a_title_of_two_lines_stays_within_the_figure(tmp_path):
    images = images_of(tmp_path, RunConfig(attention="none", image_size=32), count=1)
    fig = computation(images, [Panel("the image", image=0)] * 5 + [Panel("a title that needs two lines", image=0)])
    png_of(fig)
    assert fig.axes[-1].title.get_window_extent().y1 < 0.99 * fig.bbox.height
