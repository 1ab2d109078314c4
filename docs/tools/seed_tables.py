"""Writes the tables of `docs/coming-from` anew from `lib.seeds`, which has them once: `python docs/tools/seed_tables.py`."""

import re
from pathlib import Path

from lib.paths import ROOT
from lib.seeds import TABLE

PAGES = ROOT / "docs" / "coming-from"
FORM = re.compile(r"\| there \| here \|\n(\|.*\|\n)+")


def table_of(project: str) -> str:
    """The names of one project, a row each, in Markdown."""
    rows = [
        (f"`{row.there}`", "; ".join(filter(None, (row.here, row.note)))) for row in TABLE if row.project == project
    ]
    return "".join(f"| {there} | {here} |\n" for there, here in [("there", "here"), (":--", ":--"), *rows])


def written(page: Path) -> str:
    """The text of a page with its table as it should be."""
    return FORM.sub(lambda _: table_of(page.stem), page.read_text(encoding="utf-8"), count=1)


if __name__ == "__main__":
    for name in sorted({row.project for row in TABLE}):
        path = PAGES / f"{name}.md"
        path.write_text(written(path), encoding="utf-8")
