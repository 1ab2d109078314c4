"""A table as Markdown, such as README's: a line a row, an interval behind its value."""

from collections.abc import Iterable

from lib.report.tables.cells import Cell
from lib.report.tables.table import Table, all_notes


def markdown_of(table: Table, folder: str = "") -> str:
    """The caption, the table and its notes; links lead into `folder`, as 'notebooks/' for README."""
    headings = [" ".join(part for part in heading if part) for heading in table.headings]
    rule = [":--" if worded else "--:" for worded in table.worded]
    rows = [[_text(cell, folder) for cell in row] for row in table.cells.itertuples(index=False, name=None)]
    lines = [_line(headings), _line(rule), *map(_line, rows)]
    return "\n".join([f"*{table.caption}*", "", *lines, "", *all_notes(table)]).rstrip() + "\n"


def _text(cell: Cell, folder: str) -> str:
    text, below = (part.replace("|", "\\|") for part in (cell.text, cell.below))
    if cell.kind == "verdict":
        text = f"**{text}**"
    if cell.link:
        text = f"[{text}]({folder}{cell.link})"
    return f"{text} {below}".rstrip()


def _line(words: Iterable[str]) -> str:
    return f"| {' | '.join(words)} |"
