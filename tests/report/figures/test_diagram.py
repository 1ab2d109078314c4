import re
from xml.etree import ElementTree

import pytest

from lib.errors import WorkbookValueError
from lib.report.figures.diagram import Arrow, Box, diagram

BOXES = [
    Box("x", 0, 1, "x <1>", "[B, C]", "data"),
    Box("f", 1, 0, "f", kind="learned"),
    Box("y", 2, 0, "y", kind="answer"),
]


def test_a_diagram_is_a_picture_of_its_own_in_light_and_in_dark():
    svg = diagram(BOXES, [Arrow("x", "f"), Arrow("f", "y", "α")], "From <x> to y")
    root = ElementTree.fromstring(svg)  # well-formed, whatever the names
    texts = [element.text for element in root.iter() if element.tag.endswith("}text")]
    assert texts == ["α", "x <1>", "[B, C]", "f", "y"]
    assert "prefers-color-scheme:dark" in svg
    assert not re.search(r"(href|src|url\()=?\"?http", svg)  # nothing is loaded


def test_arrows_run_from_edge_to_edge_with_one_corner_at_most():
    svg = diagram(BOXES, [Arrow("x", "f"), Arrow("x", "f", column_first=True), Arrow("f", "y")], "t")
    paths = re.findall(r'class="line".*? d="M([^"]+)"', svg)
    assert [path.count("L") for path in paths] == [2, 2, 1]
    assert paths[2] == "246 47L270 47"  # box 100 wide in the middle of a column of 124, margin 10
    assert paths[0] == "122 121L196 121L196 70"
    assert paths[1] == "72 98L72 47L146 47"


@pytest.mark.parametrize(
    ("boxes", "arrows", "told"),
    [(BOXES, [Arrow("x", "z")], "box 'z'"), ([Box("x", 0, 0, "x", kind="blue")], [], "kind 'blue'")],
)
def test_what_is_not_there_is_an_error(boxes, arrows, told):
    with pytest.raises(WorkbookValueError, match=told):
        diagram(boxes, arrows, "t")
