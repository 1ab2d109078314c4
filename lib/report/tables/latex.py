"""Tables as LaTeX with booktabs: one file a table to be \\input, and one document that shows them all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lib.files import write_text
from lib.report.tables.table import Table, all_notes

SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"}
SPECIAL |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
SPECIAL |= {"[": "{[}", "]": "{]}"}  # after \\ a bracket would be read as a distance
SPECIAL |= {c: f"${tex}$" for c, tex in {
    "±": r"\pm", "−": "-", "×": r"\times", "<": "<", ">": ">", "≥": r"\geq", "≤": r"\leq", "∞": r"\infty",
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "σ": r"\sigma", "²": "^2", "→": r"\to",
}.items()}  # fmt: skip
SPECIAL |= {"–": "--", "…": r"\ldots{}", "’": "'", "“": "``", "”": "''"}

# a table wider than the line is made to fit
FITTING = "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%%\n%s}\n"
PREAMBLE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[a4paper, landscape, margin=18mm]{geometry}
\usepackage{array, booktabs, graphicx}
\begin{document}
"""


def escape(text: str) -> str:
    """Plain text as LaTeX; a character that LaTeX may not know is told by its code."""
    known = (c if c.isascii() or (c.isalpha() and c < "ɐ") else f"(U+{ord(c):04X})" for c in text)
    return "".join(SPECIAL.get(c, told) for c, told in zip(text, known, strict=True))


def latex_of(table: Table) -> str:
    """A `table` environment: caption, tabular, notes. A row's intervals stand below it in small type."""
    tabular = FITTING % _tabular(table) if table.rows else "\\emph{The protocol has no such table.}\n"
    notes = " ".join(escape(note) for note in all_notes(table))
    below = f"\\par\\smallskip\\parbox{{\\linewidth}}{{\\footnotesize {notes}}}\n" if notes else ""
    label = table.name.replace("_", "-")
    caption = re.sub(r"^Table \d\. ", "", table.caption)  # LaTeX numbers tables itself
    return (
        f"\\begin{{table}}[htbp]\n\\centering\n\\caption{{{escape(caption)}}}\n\\label{{tab:{label}}}\n"
        f"\\par\\smallskip\\small\\setlength{{\\tabcolsep}}{{4pt}}\n{tabular}{below}\\end{{table}}\n"
    )


def write_latex(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Write `<name>.tex` for each table and `tables.tex`, a document of its own that holds them all."""
    paths = [folder / f"{table.name}.tex" for table in tables]
    for path, table in zip(paths, tables, strict=True):
        write_text(path, f"% needs \\usepackage{{array, booktabs, graphicx}}\n{latex_of(table)}")
    document = folder / "tables.tex"
    inputs = "".join(f"\\input{{{path.stem}}}\n\\clearpage\n" for path in paths)
    write_text(document, f"{PREAMBLE}{inputs}\\end{{document}}\n")
    return [document, *paths]


def _tabular(table: Table) -> str:
    """booktabs by pandas' Styler, whose header has no rules below its groups; those are put in here."""
    lines, small = [], []
    for row in table.cells.itertuples(index=False, name=None):
        lines.append([escape(cell.text) for cell in row])
        if any(cell.below for cell in row):
            small.append(len(lines))
            lines.append([f"{{\\scriptsize {escape(cell.below)}}}" if cell.below else "" for cell in row])
    headings = [(escape(group), escape(name)) for group, name in table.headings]
    frame = pd.DataFrame(lines, columns=pd.MultiIndex.from_tuples(headings))
    if not any(group for group, _ in headings):
        frame.columns = [name for _, name in headings]
    words = [">{\\raggedright\\arraybackslash}p{0.2\\linewidth}" if long else "l" for long in table.long]
    formats = "".join(word if worded else "r" for word, worded in zip(words, table.worded, strict=True))
    text = frame.style.hide(axis="index").to_latex(hrules=True, column_format=formats, multicol_align="c")
    return _with_space(_with_group_rules(text, [group for group, _ in headings]), small)


def _with_group_rules(text: str, groups: Sequence[str]) -> str:
    """A \\cmidrule below each group's heading."""
    rules, first = [], 0
    while first < len(groups):
        last = next((i for i in range(first, len(groups)) if groups[i] != groups[first]), len(groups))
        if groups[first]:
            rules.append(f"\\cmidrule(lr){{{first + 1}-{last}}}")
        first = last
    if not rules:
        return text
    head, line, rest = re.split(r"(\\toprule\n.*?\n)", text, maxsplit=1)
    return head + line + "".join(rules) + "\n" + rest


def _with_space(text: str, small: Sequence[int]) -> str:
    """A little space after each line of intervals, so that it is read with the line above it."""
    head, body, rest = re.split(r"(?<=\\midrule\n)(.*)(?=\\bottomrule)", text, maxsplit=1, flags=re.DOTALL)
    lines = body.splitlines()
    spaced = [f"{line}[3pt]" if i in small and i < len(lines) - 1 else line for i, line in enumerate(lines)]
    return head + "\n".join(spaced) + "\n" + rest
