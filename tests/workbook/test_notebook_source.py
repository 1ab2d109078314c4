"""What a notebook's file says about itself."""

import json

import nbformat
import pytest

from lib.errors import WorkbookValueError, choose
from lib.opening import open_notebook
from lib.workbook.notebook_source import check_of, read_source
from lib.workbook.plan import find_notebooks


def test_a_training_notebook_names_what_checks_its_parameters():
    assert check_of(find_notebooks(["02"])[0]) is open_notebook


def test_it_is_found_by_its_call_under_any_name(notebook, tmp_path):
    cells = (
        "%matplotlib inline\nfrom lib.errors import choose as judge",
        "this is no Python",
        "x = [judge(globals())]",
    )
    assert check_of(notebook(tmp_path / "04_a.ipynb", *cells)) is choose
    cells = ("from json import dumps\nfrom lib.errors import choose", "dumps(globals()); choose('a', 'b', [])")
    assert check_of(notebook(tmp_path / "04_b.ipynb", *cells)) is None


def test_the_workbooks_sources_are_what_nbformat_reads():
    for path in find_notebooks():
        source, notebook = read_source(path), nbformat.read(path, as_version=4)
        cells = [(cell.cell_type, cell.source, tuple(cell.metadata.get("tags", ()))) for cell in notebook.cells]
        assert [(cell.cell_type, cell.source, cell.tags) for cell in source.cells] == cells
        assert (source.metadata, f"# {source.title}") == (notebook.metadata, cells[0][1].splitlines()[0])


def test_a_notebook_of_an_older_format_is_read_too(tmp_path):
    path = tmp_path / "01_a.ipynb"
    cell = {"cell_type": "code", "input": ["x = 1\n", "x"], "outputs": [], "language": "python", "metadata": {}}
    path.write_text(json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [cell]}]}))
    assert [cell.source for cell in read_source(path).cells] == ["x = 1\nx"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"nbformat": 4, "metadata": {}, "cells": [1]}', "\udcff", "[" * 10**5]
)
def test_what_is_no_notebook_is_told(tmp_path, text):
    path = tmp_path / "01_a.ipynb"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(WorkbookValueError, match="01_a.ipynb is not a Jupyter notebook"):
        read_source(path)
