"""The few numbers a notebook ends in, shown as a table and carried into the report's index."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

MIMETYPE = "application/vnd.workbook.key-figures+json"


def show_key_figures(figures: Mapping[str, object], title: str = "Key figures") -> None:
    """Display `figures` (name → value, both as they should be read, units included).

    ::

        show_key_figures({"balanced accuracy (test)": "0.61 [0.55, 0.67]", "duration": "41 s"})
    """
    from IPython.display import display  # here, so that importing lib.report costs nothing

    display(key_figures_bundle(figures, title), raw=True)


def key_figures_bundle(figures: Mapping[str, object], title: str = "Key figures") -> dict[str, object]:
    """The mimebundle: a table for readers, text for terminals, JSON for the index."""
    said = {str(name): str(value) for name, value in figures.items()}
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in said.items()
    )
    width = max(map(len, said), default=0)
    return {
        MIMETYPE: list(said.items()),  # pairs, because notebooks are saved with sorted keys
        "text/html": f'<table class="key-figures"><caption>{escape(title)}</caption><tbody>{rows}</tbody></table>',
        "text/plain": "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in said.items())]),
    }
