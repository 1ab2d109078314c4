"""A table of cells, and its three forms: HTML for the page, plain numbers for CSV; LaTeX is `lib.report.tables.latex`'s."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

import pandas as pd

from lib.files import write_text
from lib.report.tables.cells import Cell

Heading = tuple[str, str]  # group (a test set, or ''), name
GREEN, RED = "#2f7a55", "#a83a3a"
LONG = 30  # characters; longer words are broken into lines
STYLES = [
    {
        "selector": "th, td",
        "props": "text-align: right; padding: .25em .55em .25em 0; font-size: .84rem; line-height: 1.4",
    },
    {"selector": "td", "props": "white-space: nowrap"},
    {"selector": "caption", "props": "text-align: left; max-width: min(48rem, 90vw)"},
    {"selector": "small", "props": "display: block; opacity: .65"},
    {"selector": ".missing", "props": "font-style: italic; opacity: .65; text-decoration: underline dotted"},
    {
        "selector": ".verdict",
        "props": "font-weight: 600; border: 1px solid currentColor; border-radius: 99px; padding: .05em .7em",
    },
    {"selector": ".shown", "props": f"color: var(--good, {GREEN})"},  # the report's pages have their own colours
    {"selector": ".refuted", "props": f"color: var(--bad, {RED})"},
    {"selector": ".undecided, .not-tried", "props": "color: var(--soft, inherit)"},
]


@dataclass(frozen=True)
class Table:
    """Rows of cells under two-level headings (group, name), with a caption and footnotes."""

    name: str  # of its files, 'table3_fusion'
    caption: str
    rows: Sequence[Mapping[Heading, Cell]]
    notes: Sequence[str] = ()
    labels: int = 1  # leading columns that name a row's configuration

    @cached_property
    def headings(self) -> list[Heading]:
        """All rows' columns in order; a group's columns stand together."""
        seen = dict.fromkeys(heading for row in self.rows for heading in row)
        groups = dict.fromkeys(heading[0] or heading for heading in seen)
        return [heading for group in groups for heading in seen if (heading[0] or heading) == group]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The cells themselves."""
        data = [[row.get(heading, Cell.absent()) for heading in self.headings] for row in self.rows]
        return pd.DataFrame(data, columns=pd.MultiIndex.from_tuples(self.headings), dtype=object)

    @property
    def worded(self) -> list[bool]:
        """Which columns hold words, and so stand to the left."""
        return [any(cell.kind in ("words", "verdict") for cell in self.cells[heading]) for heading in self.headings]

    @property
    def long(self) -> list[bool]:
        """Which columns hold more words than fit on a line."""
        return [
            max(len(line) for cell in self.cells[heading] for line in (cell.text, cell.below)) > LONG
            for heading in self.headings
        ]

    @property
    def numbers(self) -> pd.DataFrame:
        """What the CSV file holds: every number of every cell in a column of its own, in the heading's unit."""
        return pd.DataFrame([dict(_flat(row)) for row in self.rows]).fillna("")

    @property
    def missing(self) -> list[str]:
        """'0 of 3 seeds done (resnet34, resnet50)', for every reason once."""
        reasons: dict[str, dict[str, None]] = {}
        for row in self.rows:
            label = " ".join(cell.text for cell in list(row.values())[: self.labels])
            for cell in row.values():
                if cell.kind == "missing":
                    reasons.setdefault(cell.note, {})[label] = None
        return [f"{reason} ({', '.join(rows)})" for reason, rows in reasons.items()]

    def _repr_html_(self) -> str:
        return html_of(self)


def html_of(table: Table) -> str:
    """The table with its notes below; what is missing tells why when the mouse rests on it."""
    if not table.rows:
        return f"<p>{escape(table.caption)} <i>The protocol has no such table.</i></p>"
    grouped = any(group for group, _ in table.headings)
    cells = table.cells if grouped else table.cells.droplevel(0, axis="columns")
    styles = [*STYLES, {"selector": "th.level0", "props": "text-align: center"}] if grouped else [*STYLES]
    for i, (worded, long) in enumerate(zip(table.worded, table.long, strict=True)):
        wrapped = "; white-space: normal; min-width: 8rem; vertical-align: top" if long else ""
        styles += [{"selector": f".col{i}", "props": f"text-align: left{wrapped}"}] if worded else []
    style = cells.style.format(_html_cell).hide(axis="index").set_table_styles(styles)
    style = style.set_caption(escape(table.caption)).format_index(escape, axis=1)
    body = style.to_html(table_uuid=table.name, cell_ids=False)
    notes = "".join(f"<li>{escape(note)}</li>" for note in all_notes(table))
    return f'{body}<ul class="notes" style="font-size: .85em; opacity: .8">{notes}</ul>' if notes else body


def all_notes(table: Table) -> list[str]:
    """The table's own notes, then what is missing and why."""
    missing = table.missing
    return [*table.notes, *([f"Missing: {'; '.join(missing)}."] if missing else [])]


def write_csv(table: Table, folder: Path) -> Path:
    """Write `<name>.csv` into `folder`; returns its path."""
    path = folder / f"{table.name}.csv"
    write_text(path, table.numbers.to_csv(index=False))
    return path


def _flat(row: Mapping[Heading, Cell]) -> Iterator[tuple[str, object]]:
    for heading, cell in row.items():
        for name, value in cell.columns.items():
            yield " ".join(part for part in (*heading, name) if part), value


def _html_cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.link:
        text = f'<a href="{escape(cell.link)}">{text}</a>'
    look = {"missing": "missing", "verdict": f"verdict {escape(cell.text.replace(' ', '-'))}"}.get(cell.kind, "")
    if cell.note or look:
        attributes = f' class="{look}"' * bool(look) + f' title="{escape(cell.note)}"' * bool(cell.note)
        text = f"<span{attributes}>{text}</span>"
    return f"{text}<small>{escape(cell.below)}</small>" if cell.below else text
