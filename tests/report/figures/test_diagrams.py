"""Diagrams can be read: texts fit their boxes, boxes their picture, and no line runs through a box."""

from itertools import pairwise

import pytest

from lib.report.figures.diagram import WIDTH, Diagram
from lib.report.figures.mechanism_diagrams import dcal_diagram, lesa_diagram, reid_diagram

DIAGRAMS = [dcal_diagram, lesa_diagram, reid_diagram]


def inside(box, x, y, by=2):
    """Whether (x, y) is in `box`, by so much at least."""
    return abs(x - box.x) < box.width / 2 - by and abs(y - box.y) < box.height / 2 - by


@pytest.mark.parametrize("drawn", DIAGRAMS, ids=lambda d: d.__name__)
def test_texts_fit_their_boxes_and_boxes_their_picture(drawn):
    diagram = drawn()
    for box in diagram.boxes:
        assert box.needed <= box.width, box.text
        assert box.width / 2 < box.x < WIDTH - box.width / 2, box.text
        assert box.height / 2 < box.y < diagram.height - box.height / 2, box.text


@pytest.mark.parametrize("drawn", DIAGRAMS, ids=lambda d: d.__name__)
def test_no_line_runs_through_a_box_and_every_box_is_reached(drawn):
    diagram = drawn()
    for arrow in diagram.arrows:
        for (x1, y1), (x2, y2) in pairwise(arrow.points):
            steps = [(x1 + t / 50 * (x2 - x1), y1 + t / 50 * (y2 - y1)) for t in range(51)]
            crossed = [box.text for box in diagram.boxes for x, y in steps if inside(box, x, y)]
            assert not crossed, (arrow.start.text, arrow.end.text, crossed)
    assert {id(box) for a in diagram.arrows for box in (a.start, a.end)} == {id(box) for box in diagram.boxes}


def test_a_diagram_shows_itself_in_the_page_s_colours_and_says_what_it_is():
    diagram = Diagram(120, "What goes into <what>.")
    diagram.arrow(diagram.box(90, 30, "x"), diagram.box(90, 90, "u < v", kind="local"), "3×3")
    shown = diagram._repr_mimebundle_()
    assert shown["text/plain"] == "What goes into <what>."
    assert 'aria-label="What goes into &lt;what&gt;."' in shown["text/html"]
    assert "u &lt; v" in shown["text/html"]
    assert "black" not in shown["text/html"]
    assert shown["text/html"].count("currentColor") > 3
