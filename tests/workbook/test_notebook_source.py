"""What a notebook's code says about itself."""

from lib.errors import choose
from lib.opening import open_notebook
from lib.workbook.notebook_source import check_of
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
