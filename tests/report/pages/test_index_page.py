"""The index: the claims first, each notebook's answer before its few numbers, whatever an executed notebook holds."""

import json
import re
from html import unescape

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib.report.pages.claims_strip import MIMETYPE as CLAIMS
from lib.report.pages.execution_records import Entry, write_entry
from lib.report.pages.index_page import _settings, write_index
from lib.report.pages.key_figures import ON_CARD, for_card, key_figures_bundle
from lib.report.pages.notebook_summary import verdict

EVIL = "<script>alert(1)</script>"
ROWS = [
    {"claim": f"A block helps {EVIL}.", "effect": "+22.1 [+17.0, +27.2]", "verdict": "shown", "notebook": "02_b"},
    {"claim": "A branch helps.", "effect": "It would need parts.", "verdict": "not tried", "notebook": "04_gone"},
]


def shown(data: dict) -> nbformat.NotebookNode:
    return new_code_cell("show()", outputs=[new_output("display_data", data=data)])


def said(text: str) -> nbformat.NotebookNode:
    return shown({"text/markdown": text})


def notebook(*cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    return new_notebook(cells=[new_markdown_cell("# A title\n\n**A question?**"), *cells])


@pytest.fixture
def index(tmp_path):
    """Of a report with claims, a notebook that answers, and one that shows nothing."""
    figures = key_figures_bundle({f"figure {n}": f"{n} points" for n in range(9)})
    notebooks = {
        "00_claims": notebook(
            shown({CLAIMS: ROWS, "text/html": "<table></table>"}), said("**Verdict.** One is shown.")
        ),
        "02_b": notebook(shown(figures), said(f"**Verdict.** It helps by 3.6 points {EVIL}, p = 0.01. More is below.")),
        "03_c": notebook(),
    }
    (tmp_path / "notebooks").mkdir()
    for stem, executed in notebooks.items():
        path = tmp_path / "notebooks" / f"{stem}.ipynb"
        nbformat.write(executed, path)
        write_entry(path, Entry("ok", 1.0, "2026-01-01T00:00:00", {}))
    return write_index(tmp_path).read_text()


def card(index: str, number: int) -> str:
    return re.findall(r"<article.*?</article>", index, re.DOTALL)[number]


def test_the_claims_stand_first_with_their_verdicts_and_lead_to_the_pages_that_are_there(index):
    first = card(index, 0)
    assert 'class="card claims"' in first
    assert re.findall(r'class="badge ([\w -]+)"', first) == ["ok", "shown", "not-tried"]
    assert '<a href="02_b.html" aria-label="notebook 02_b">02</a>' in first
    assert "04_gone" not in first
    assert "It would need parts." in first
    assert EVIL not in index


def test_a_card_tells_one_sentence_of_verdict_before_at_most_six_numbers(index):
    second = unescape(card(index, 1))
    assert f"It helps by 3.6 points {EVIL}, p = 0.01." in second
    assert "More is below" not in second
    assert second.index("It helps") < second.index("figure 0") < second.index("figure 5")
    assert "figure 6" not in second
    assert 'class="answer"' not in card(index, 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("**Verdict.** Yes.", "Yes."),
        ("**Verdict.** Up by 1.2 points (95 % interval 0.1 to 2.3). No more.", "Up by 1.2 points (95 % interval 0.1 to 2.3)."),
        ("**Verdict.** `make` trains it? *Maybe.* Or so.", "`make` trains it?"),
        ("**Caution.** Few.", None),
    ],
)  # fmt: skip
def test_the_verdict_is_the_first_sentence_of_what_says_so(text, sentence):
    assert verdict(notebook(said("*A caption.*"), said(text))) == sentence


def test_a_card_leaves_out_long_lists_and_what_one_seed_cannot_say():
    figures = [
        ("a", "+1.0 points (95 % interval 0.9 to 1.1; no p; 1 seed a side)"),
        ("b", [(str(n), "1") for n in range(7)]),
        ("c", [("x", "1"), ("y", "2")]),
        *[(f"d{n}", "word " * 40) for n in range(9)],
    ]
    kept = for_card(figures)
    assert [name for name, _ in kept] == ["c", "d0", "d1", "d2", "d3"]
    assert sum(1 if isinstance(value, str) else len(value) for _, value in kept) == ON_CARD
    assert all(len(value) <= 80 for _, value in kept[1:])


def test_what_nobody_chose_is_not_told():
    chosen = [{"profile": "quick", "dataset": None}, {"profile": None, "dataset": "digits"}, {"x": 1}]
    entries = [Entry("ok", 1.0, "2026-01-01T00:00:00", parameters) for parameters in chosen]
    assert _settings(entries) == {"profile": ["quick"], "dataset": ["digits"]}
    assert _settings(entries[2:]) == {}


@pytest.mark.parametrize("content", ["{", "[]", '{"title": "x"}', "\udcfc"])
def test_a_damaged_study_has_no_entry_and_is_told(content, tmp_path, caplog):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "x.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    write_index(tmp_path)
    assert "x.json is damaged, and its study has no entry" in caplog.text


@pytest.mark.parametrize(
    ("record", "executed", "cards"),
    [
        ({"finished": "x"}, None, 0),
        ({"duration": "x"}, None, 0),
        ({"parameters": 5}, None, 0),
        ({}, '{"cells": [', 0),
        ({}, "{}", 0),
        ({}, None, 1),
    ],
)
def test_damaged_records_and_notebooks_have_no_card(record, executed, cards, tmp_path, caplog):
    path = tmp_path / "notebooks" / "01_x.ipynb"
    path.parent.mkdir()
    nbformat.write(notebook(said("# X")), path)
    if executed is not None:
        path.write_text(executed)
    entry = {"status": "ok", "duration": 1.0, "finished": "2026-01-01T00:00:00+00:00", "parameters": {}}
    path.with_suffix(".json").write_text(json.dumps(entry | record))
    page = write_index(tmp_path).read_text()
    assert len(re.findall("<article", page)) == cards
    assert ("01_x.ipynb is damaged" in caplog.text) == (executed is not None)
