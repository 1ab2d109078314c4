import json
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import WorkbookFileError, WorkbookValueError
from lib.workbook.parameters import TYPES, Parameter, parse, parse_all, placed, read_cell, read_parameters

CELL = """\
# what this run does
profile: str = "quick"  # smoke, quick, full or paper
epochs: int | None = None
lr: float = 1  # learning rate [1/step]
amp: bool = False
data_root: None | str = None  # real data, # if any
shift: float = -0.5
"""


def test_a_cell_is_read_with_types_defaults_and_help():
    found = read_cell(CELL)
    assert list(found) == ["profile", "epochs", "lr", "amp", "data_root", "shift"]
    assert found["profile"] == Parameter("profile", str, "quick", False, "smoke, quick, full or paper")
    assert found["epochs"] == Parameter("epochs", int, None, True, "")
    assert found["epochs"].type_name == "int | None"
    assert found["lr"].default == 1.0
    assert type(found["lr"].default) is float
    assert found["data_root"].help == "real data, # if any"
    assert found["shift"].default == -0.5


def test_the_help_is_the_lines_own_comment():
    """Over several lines a formatter writes what has a long comment; a second one on a line is about what follows."""
    found = read_cell(
        "a: str | None = (\n    None  # names by comma\n)\nb: int = 1  # of them  # Seldom changed\nc: int = 2\n"
    )
    assert [parameter.help for parameter in found.values()] == ["names by comma", "of them", ""]


@pytest.mark.parametrize(
    "line",
    [
        "x = 1",
        "x: int",
        "x: list = []",
        "x: int | str = 1",
        "x: int = '1'",
        "x: int = True",
        "x: int = 1.5",
        "x: int = None",
        "x: int = 1 + 1",
        "x: str = open('f')",
        "import os",
        "x: int = ",
        "a.x: int = 1",
    ],
)
def test_a_malformed_line_is_named(line):
    with pytest.raises(WorkbookValueError, match=r"nb, parameters cell, line 2") as caught:
        read_cell(f"ok: int = 1\n{line}", "nb")
    assert repr(line.strip()) in str(caught.value)


def test_reading_runs_nothing(tmp_path):
    witness = tmp_path / "witness"
    with pytest.raises(WorkbookValueError):
        read_cell(f"x: str = str(open({str(witness)!r}, 'w'))")
    assert not witness.exists()


def test_a_parameter_set_twice_is_an_error():
    with pytest.raises(WorkbookValueError, match="'x' twice"):
        read_cell("x: int = 1\nx: int = 2")


def test_a_notebook_needs_exactly_one_parameters_cell(notebook, tmp_path):
    with pytest.raises(WorkbookValueError, match=r"01_none\.ipynb has no cell tagged 'parameters'"):
        read_parameters(notebook(tmp_path / "01_none.ipynb", "1", parameters=None))
    two = nbformat.read(notebook(tmp_path / "02_two.ipynb", "y: int = 1"), 4)
    two.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(two, tmp_path / "02_two.ipynb")
    with pytest.raises(WorkbookValueError, match="2 cells"):
        read_parameters(tmp_path / "02_two.ipynb")


def test_what_is_no_notebook_is_said_to_be_none(tmp_path):
    with pytest.raises(WorkbookFileError, match="no notebook"):
        read_parameters(tmp_path / "gone.ipynb")
    (tmp_path / "text.ipynb").write_text("hello")
    with pytest.raises(WorkbookValueError, match="not a Jupyter notebook"):
        read_parameters(tmp_path / "text.ipynb")


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (str, "007", "007"),
        (str, "none", "none"),
        (str, "true", "true"),
        (int, "007", 7),
        (int, "-3", -3),
        (float, "1e-3", 0.001),
        (float, "2", 2.0),
        (bool, "true", True),
        (bool, "False", False),
    ],
)
def test_text_becomes_the_declared_type(type_, text, value):
    got = parse(Parameter("p", type_, None), text)
    assert got == value
    assert type(got) is type_


@pytest.mark.parametrize("type_", TYPES.values())
def test_none_is_for_optional_parameters(type_):
    assert parse(Parameter("p", type_, None, optional=True), "none") is None
    assert parse(Parameter("p", type_, None, optional=True), None) is None
    with pytest.raises(WorkbookValueError):
        parse(Parameter("p", type_, None), None)


@pytest.mark.parametrize(
    ("type_", "value"), [(int, "1.5"), (int, "ten"), (int, True), (int, 1.0), (float, "x"), (bool, "1"), (str, 7)]
)
def test_a_value_of_another_type_is_named(type_, value):
    with pytest.raises(WorkbookValueError, match=f"Parameter 'p' must be .*{value!r}"):
        parse(Parameter("p", type_, None), value)


def test_an_unknown_name_brings_the_nearest_and_all_known():
    with pytest.raises(WorkbookValueError, match=r"'epoch'. Did you mean 'epochs'\? Known: profile, epochs, lr"):
        parse_all(read_cell(CELL), {"epoch": 3})


def test_every_parameter_gets_a_value():
    values = parse_all(read_cell(CELL), {"epochs": "5"})
    assert values == {"profile": "quick", "epochs": 5, "lr": 1.0, "amp": False, "data_root": None, "shift": -0.5}


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("data_root", "ham", "/here/ham"),
        ("reid_root", "../x/./y", "/x/y"),
        ("output_dir", "~/out", str(Path.home() / "out")),
        ("data_root", "/data", "/data"),
        ("data_root", "none", "none"),
        ("data_root", "", ""),
        ("data_root", None, None),
        ("protocol", "quick", "quick"),  # a name in protocols/
        ("dataset", "ham", "ham"),
    ],
)
def test_a_relative_path_begins_where_it_was_given(name, value, path):
    assert placed(name, value, Path("/here")) == path


def test_what_may_be_a_name_is_a_path_where_there_is_a_file(tmp_path):
    (tmp_path / "quick").write_text("")
    assert placed("protocol", "quick", tmp_path) == str(tmp_path / "quick")
    assert placed("checkpoint", "quick", tmp_path) == str(tmp_path / "quick")
    assert placed("weights", "quick", tmp_path) == str(tmp_path / "quick")
    assert placed("weights", "profile", tmp_path) == "profile"


VALUES = {
    "str": st.text(st.characters(blacklist_categories=["Cs"])),
    "int": st.integers(),
    "float": st.floats(allow_nan=False),
    "bool": st.booleans(),
}


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
def test_a_value_survives_text_and_json(name, data):
    value = data.draw(VALUES[name])
    parameter = Parameter("p", TYPES[name], value)
    assert parse(parameter, str(value)) == value
    assert parse(parameter, json.loads(json.dumps(value))) == value


@given(st.sampled_from(sorted(TYPES)), st.data())
def test_a_written_line_is_read_back(name, data):
    value = data.draw(VALUES[name].filter(lambda v: v not in (float("inf"), -float("inf"))))
    assert read_cell(f"p: {name} = {value!r}  # why")["p"] == Parameter("p", TYPES[name], value, False, "why")
