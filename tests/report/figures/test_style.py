"""The look that all figures share."""

import numpy as np
import pytest
from matplotlib.text import Text

from lib.report.figures.style import PHANTOM_NOTE, figure, overlay, picture_grid


@pytest.mark.parametrize("width", [3, 5, 8])
def test_the_note_on_phantoms_is_whole_however_narrow_the_figure(width):
    with figure(width, 3, phantom=True) as fig:
        ax = fig.subplots()
        ax.set_xlabel("below the axes")
    fig.canvas.draw()
    (note,) = [text for text in fig.findobj(Text) if text.get_text() == PHANTOM_NOTE]
    box = note.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= fig.bbox.width
    assert not box.overlaps(ax.xaxis.label.get_window_extent())


def test_a_map_that_is_the_same_everywhere_is_told_and_colours_nothing():
    even, other = np.full((4, 4), 0.1, np.float32), np.eye(4)
    even[0] = np.nextafter(even[0], 1)
    with figure(3, 2) as fig:
        axes = picture_grid(fig, 1, 2)[0]
        for ax, heat in zip(axes, (even, other), strict=True):
            overlay(ax, np.zeros((8, 8, 3), np.uint8), heat, "map")
    assert [(len(ax.images), [text.get_text() for text in ax.texts]) for ax in axes] == [(1, ["even"]), (2, [])]
