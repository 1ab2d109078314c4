"""The claims on trial, shown as a table in their notebook and carried into the report's index, where they stand first."""

from collections.abc import Sequence
from typing import Protocol, TypedDict

MIMETYPE = "application/vnd.workbook.claims+json"


class ClaimRow(TypedDict):
    """A claim as the index tells it."""

    claim: str  # a sentence
    effect: str  # with its interval and unit, or why there is none
    verdict: str  # shown, refuted, undecided or not tried
    notebook: str  # the stem of the one that looks closer


class Drawn(Protocol):
    """`lib.report.tables.table.Table`"""

    def _repr_html_(self) -> str: ...


def show_claims(table: Drawn, rows: Sequence[ClaimRow]) -> None:
    """Display `table` for the page, and with it its `rows` for the index."""
    from IPython.display import display  # here, so that importing lib.report costs nothing

    text = "\n".join(f"{row['verdict']}: {row['claim']} {row['effect']}" for row in rows)
    display({MIMETYPE: list(rows), "text/html": table._repr_html_(), "text/plain": text}, raw=True)
