"""Tables as LaTeX: nothing in a name breaks it, it is booktabs, and it compiles."""

import re
import shutil
import subprocess

import pytest

from lib.report.study import paper_tables
from lib.report.study.criteria import criteria, criteria_table
from lib.report.study.leak_table import leak_table
from lib.report.study.transfer_table import transfer_table
from lib.report.tables.cells import Cell
from lib.report.tables.latex import escape, latex_of, write_latex
from lib.report.tables.table import Table

NASTY = "50 % of a_b & #1 {x} $y$ ~ ^ \\ < > ± − × … 一 α²"


def nasty() -> Table:
    rows = [
        {
            ("", "na_me"): Cell.words("[first]"),
            ("A & B", "100 %"): Cell.quantity(1.5, 1, 1.0, 2.0),
            ("A & B", "n"): Cell.quantity(3),
        },
        {
            ("", "na_me"): Cell.words(NASTY),
            ("A & B", "100 %"): Cell.missing("no_run & no #"),
            ("A & B", "n"): Cell.quantity(-4),
        },
    ]
    return Table("nas_ty", f"Caption {NASTY}", rows, [f"Note {NASTY}"])


def test_special_characters_are_escaped():
    assert escape("a_b & 5 % #1") == r"a\_b \& 5 \% \#1"
    assert escape("±−×<") == r"$\pm$$-$$\times$$<$"
    assert escape("\\{~^") == r"\textbackslash{}\{\textasciitilde{}\textasciicircum{}"
    assert escape("é一") == "é(U+4E00)"


def test_the_structure_is_booktabs():
    text = latex_of(nasty())
    for command in (r"\toprule", r"\midrule", r"\bottomrule", r"\multicolumn{2}{c}{A \& B}", r"\cmidrule(lr){2-3}"):
        assert text.count(command) == 1
    assert r"\hline" not in text
    assert "|" not in re.search(r"\\begin\{tabular\}(\{.*\})", text)[1]
    assert r"\label{tab:nas-ty}" in text
    assert r"{\scriptsize {[}1.0, 2.0{]}}" in text
    assert "missing" in text
    assert r"no\_run \& no \# " in text


def test_a_table_without_rows_says_so():
    assert "no such table" in latex_of(Table("x", "Caption", []))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (apt-get install texlive-latex-base)")
def test_all_tables_compile(written, transferred, tmp_path):
    written.finish_table("backbones", {"resnet18": 0.7})
    written.finish_table("fusion", {"original": 0.7, "weighted_add": 0.9})
    study = written.study()
    tables = [
        nasty(),
        Table("empty", "Nothing", []),
        paper_tables.backbones_table(study),
        paper_tables.attention_table(study),
        paper_tables.fusion_table(study),
        paper_tables.comparisons_table(study, "fusion", "table3_comparisons", "In full."),
        transfer_table(study),
        leak_table(study),
        criteria_table(criteria(study, [])),
    ]
    paths = write_latex(tables, tmp_path)
    assert [path.name for path in paths][:3] == ["tables.tex", "nas_ty.tex", "empty.tex"]
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000
