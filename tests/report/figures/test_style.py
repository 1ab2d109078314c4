"""The look that all figures share."""

import pytest
from matplotlib.text import Text

from lib.report.figures.style import PHANTOM_NOTE, figure


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
