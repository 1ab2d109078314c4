from pathlib import Path

import nbformat
import pytest

from lib.errors import WorkbookFileError, WorkbookValueError
from lib.workbook.plan import find_notebooks, longest_first, number, plan


@pytest.fixture
def folder(notebook, tmp_path):
    notebook(tmp_path / "02_glsa_training.ipynb", parameters='epochs: int = 3\noutput_dir: str = "outputs"')
    notebook(tmp_path / "10_paper_tables.ipynb", parameters='epochs: int = 9\nseed: str = "1"')
    notebook(tmp_path / "draft.ipynb")
    return tmp_path


def test_notebooks_are_found_in_order(folder):
    assert [number(path) for path in find_notebooks(folder=folder)] == ["02", "10"]


@pytest.mark.parametrize("name", ["02", "2", "02_glsa_training"])
def test_a_notebook_is_called_by_number_or_stem(folder, name):
    assert find_notebooks([name, name], folder) == [folder / "02_glsa_training.ipynb"]


def test_a_notebook_is_called_by_path(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert find_notebooks(["draft.ipynb"], folder) == [folder / "draft.ipynb"]
    with pytest.raises(WorkbookFileError, match="no notebook gone"):
        find_notebooks(["gone.ipynb"], folder)


def test_an_unknown_notebook_brings_the_nearest(folder):
    with pytest.raises(WorkbookValueError, match=r"Did you mean '02_glsa_training'\?"):
        find_notebooks(["glsa_traning"], folder)


def test_two_notebooks_of_one_name_are_refused(folder, notebook):
    twin = notebook(folder / "other" / "02_glsa_training.ipynb")
    with pytest.raises(WorkbookValueError, match="Two of the notebooks"):
        find_notebooks(["02", str(twin)], folder)


def values(folder: Path, options=None, assignments=()) -> list[dict]:
    jobs = plan(find_notebooks(folder=folder), Path("/o"), options or {}, assignments)
    return [job.parameters for job in jobs]


def test_options_go_where_they_are_known_and_assignments_win(folder):
    given = values(folder, {"epochs": "5"}, ["02.epochs=7", "seed=007"])
    assert given == [{"epochs": 7, "output_dir": "/o"}, {"epochs": 5, "seed": "007"}]


def test_what_takes_longest_begins_first_and_what_is_waited_for_with_those_that_wait(notebook, tmp_path):
    told = {"00": {"minutes": 5}, "01": {}, "02": {}, "03": {"minutes": 3}, "04": {"minutes": 1}}
    told["09"] = {"minutes": 2.5, "after": ["03_a", "99_elsewhere"]}
    for stem, metadata in told.items():
        path = notebook(tmp_path / f"{stem}_a.ipynb")
        content = nbformat.read(path, as_version=4)
        content.metadata["workbook"] = metadata
        nbformat.write(content, path)
    jobs = plan(find_notebooks(folder=tmp_path), tmp_path, {}, [])
    assert [number(job.notebook) for job in longest_first(jobs)] == ["03", "00", "09", "04", "01", "02"]


def test_values_may_hold_dots_and_equals_signs(folder):
    assert values(folder, {}, ["seed=a=b.c"])[1]["seed"] == "a=b.c"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epoch=1", r"Unknown parameter 'epoch'. Did you mean 'epochs'\? Known: epochs, output_dir, seed\."),
        ("02.seed=1", "Unknown parameter 'seed'"),
        ("03.epochs=1", "Unknown notebook '03'"),
        ("epochs=many", "'epochs' must be int, not 'many'"),
        ("epochs", "NAME=VALUE"),
        ("=1", "NAME=VALUE"),
    ],
)
def test_a_wrong_assignment_is_an_error(folder, assignment, message):
    with pytest.raises(WorkbookValueError, match=message):
        values(folder, {}, [assignment])


def test_an_option_that_no_notebook_has_is_an_error(folder):
    with pytest.raises(WorkbookValueError, match="Unknown parameter 'dataset'"):
        values(folder, {"dataset": "ham10000"})
