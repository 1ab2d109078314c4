import re
from xml.etree import ElementTree

import pytest

from lib.errors import WorkbookValueError
from lib.paths import ROOT
from lib.report.figures import mechanism_diagrams
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
    assert paths[2] == "276 50L300 50"  # boxes of 116 in the middle of columns of 140, margin 8
    assert paths[0] == "136 134L218 134L218 73"
    assert paths[1] == "78 111L78 50L160 50"


def test_an_arrow_may_have_a_column_of_its_own():
    svg = diagram(BOXES, [Arrow("x", "y", via=1.5)], "t")
    assert 'd="M136 134L288 134L288 50L300 50"' in svg


def test_a_box_is_as_wide_and_as_high_as_it_is_told_to_be():
    box = Box("x", 0, 0, "x", "one\ntwo\nthree", wide=2)
    svg = diagram([box, Box("y", 0, 1, "y")], [Arrow("x", "y")], "t")
    assert box.size == (256, 76)
    assert 'd="M78 88L78 111"' in svg  # from the edge of the higher box


@pytest.mark.parametrize(
    ("boxes", "arrows", "told"),
    [(BOXES, [Arrow("x", "z")], "box 'z'"), ([Box("x", 0, 0, "x", kind="blue")], [], "kind 'blue'")],
)
def test_what_is_not_there_is_an_error(boxes, arrows, told):
    with pytest.raises(WorkbookValueError, match=told):
        diagram(boxes, arrows, "t")


@pytest.mark.parametrize("name", ["glsa", "dcal", "lesa", "gattanet"])
def test_the_pages_show_the_diagrams_as_they_are(name):
    """`python docs/tools/diagrams.py` writes them."""
    shown = (ROOT / "docs" / "mechanisms" / f"{name}.svg").read_text()
    assert shown == getattr(mechanism_diagrams, f"{name}_diagram")() + "\n"


@pytest.mark.parametrize("name", [name for name in vars(mechanism_diagrams) if name.endswith("_diagram")])
def test_each_mechanisms_diagram_is_whole_and_fits_on_a_phone(name):
    root = ElementTree.fromstring(getattr(mechanism_diagrams, name)())
    assert float(root.get("width")) <= 460
    boxes = [element for element in root.iter() if element.tag.endswith("}rect") and element.get("class") != "ground"]
    spans = [[float(box.get(side)) for side in ("x", "y", "width", "height")] for box in boxes]
    assert all(x >= 0 and x + width <= float(root.get("width")) for x, _, width, _ in spans)
    assert all(y >= 0 and y + height <= float(root.get("height")) for _, y, _, height in spans)
    for i, (x, y, width, height) in enumerate(spans):  # no box lies on another
        assert all(x + width <= u or u + w <= x or y + height <= v or v + h <= y for u, v, w, h in spans[:i])
