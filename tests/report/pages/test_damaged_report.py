"""A damaged record, notebook or study is one warning that names it, and the rest of the report is written."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib import errors
from lib.report.pages.claims_strip import MIMETYPE as CLAIMS
from lib.report.pages.execution_records import Entry, write_entry
from lib.report.pages.index_page import write_index
from lib.report.pages.key_figures import MIMETYPE as FIGURES
from lib.report.pages.study_page import write_study


@pytest.fixture
def report(tmp_path, monkeypatch):
    """Two notebooks and a study."""
    monkeypatch.setattr(errors, "_warned", set())
    (tmp_path / "notebooks").mkdir()
    for stem in ("01_one", "02_two"):
        path = tmp_path / "notebooks" / f"{stem}.ipynb"
        nbformat.write(new_notebook(cells=[new_markdown_cell(f"# Title of {stem}\n\n**A question?**")]), path)
        write_entry(path, Entry("ok", 1.0, "2026-01-01T00:00:00", {}))
    write_study(tmp_path, "quick", "A study", [])
    return tmp_path


def shown(mimetype, content) -> str:
    output = new_output("display_data", data={mimetype: content})
    return nbformat.writes(new_notebook(cells=[new_code_cell("show()", outputs=[output])]))


NOTEBOOK, RECORD, STUDY = "notebooks/02_two.ipynb", "notebooks/02_two.json", "studies/quick.json"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, content) for name in (NOTEBOOK, RECORD, STUDY) for content in ("", "{", "[]", "null", '{"cells": 3}')),
        (RECORD, '{"status": "ok", "duration": "long", "finished": "2026-01-01T00:00:00", "parameters": {}}'),
        (RECORD, '{"status": 7, "duration": 1, "finished": "2026-01-01T00:00:00", "parameters": {}}'),
        (RECORD, '{"status": "ok", "duration": NaN, "finished": "2026-01-01T00:00:00", "parameters": []}'),
        (RECORD, '{"status": "ok", "duration": 1, "finished": "now", "parameters": {}}'),
        (NOTEBOOK, shown(CLAIMS, [{"claim": "half a row"}])),
        (NOTEBOOK, shown(CLAIMS, 3)),
        (NOTEBOOK, shown(FIGURES, [["no value"]])),
        (NOTEBOOK, shown("image/png", "no picture")),
    ],
)
def test_one_warning_names_it_and_the_rest_is_written(report, name, content, caplog):
    (report / name).write_text(content)
    page = write_index(report).read_text()
    write_index(report)
    assert [record.message.count(str(report / name)) for record in caplog.records] == [1]
    assert "is damaged" in caplog.text
    assert "Title of 01_one" in page
    assert ("A study" in page) == (name != STUDY)
    assert ("Title of 02_two" in page) == (name == STUDY)


@pytest.mark.parametrize("name", [NOTEBOOK, RECORD, STUDY])
def test_bytes_that_are_no_text_are_damage_too(report, name, caplog):
    (report / name).write_bytes(b"\xff\xfe\x00")
    write_index(report)
    assert str(report / name) in caplog.text
