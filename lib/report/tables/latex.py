"""Tables as LaTeX with booktabs: one file a table to be \\input, and one document that shows them all."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from lib.files import write_text
from lib.report.tables.table import Heading, Table, all_notes

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
    return "".join(SPECIAL.get(c, shown) for c, shown in zip(text, known, strict=True))


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
    lines = ["\\toprule", *_header(table.headings), "\\midrule"]
    for row in table.cells.itertuples(index=False, name=None):
        lines.append(_line(escape(cell.text) for cell in row))
        if any(cell.below for cell in row):  # a little space after it, so that it is read with the line above
            lines.append(
                _line(f"{{\\scriptsize {escape(cell.below)}}}" if cell.below else "" for cell in row) + "[3pt]"
            )
    lines[-1] = lines[-1].removesuffix("[3pt]")
    words = [">{\\raggedright\\arraybackslash}p{0.2\\linewidth}" if long else "l" for long in table.long]
    formats = "".join(word if worded else "r" for word, worded in zip(words, table.worded, strict=True))
    return "\n".join([f"\\begin{{tabular}}{{{formats}}}", *lines, "\\bottomrule", "\\end{tabular}\n"])


def _header(headings: Sequence[Heading]) -> list[str]:
    """The names, and above them the groups where there are any, with a rule below each."""
    names, groups, rules, first = _line(escape(name) for _, name in headings), [], [], 1
    if not any(group for group, _ in headings):
        return [names]
    for group, members in groupby(group for group, _ in headings):
        count = len(list(members))
        groups.append(f"\\multicolumn{{{count}}}{{c}}{{{escape(group)}}}" if count > 1 else escape(group))
        rules += [f"\\cmidrule(lr){{{first}-{first + count - 1}}}"] if group else []
        first += count
    return [_line(groups), "".join(rules), names]


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + " \\\\"
