"""The few numbers a notebook ends in, shown as a table and carried into the report's index."""

import textwrap
from collections.abc import Iterable, Mapping
from html import escape

TITLE = "Key figures"
MIMETYPE = "application/vnd.workbook.key-figures+json"
ON_CARD = 6  # values at most
LINES = 80  # letters of one on a card
NO_TEST = "no p; 1 seed a side"  # in a value that says nothing about a method
KeyFigures = list[tuple[str, str | list[tuple[str, str]]]]  # pairs, because notebooks are saved with sorted keys
# JupyterLab would set the cells to the right; the report's pages have their own sheet.
IN_LAB = "table.key-figures :is(th, td) { text-align: left } table.key-figures ul { columns: 14rem }"


def show_key_figures(figures: Mapping[str, object]) -> None:
    """Display `figures` (name → value, both as they should be read, units included; a value may be a mapping, too).

    ::

        show_key_figures({"balanced accuracy (test)": "0.61 [0.55, 0.67]", "beats the references": {"grad-cam": "3 of 7"}})
    """
    from IPython.display import display  # here, so that importing lib.report costs nothing

    display(key_figures_bundle(figures), raw=True)


def show_verdict(sentence: str, *more: str) -> None:
    """Display a notebook's verdict: one `sentence` that answers its question, for the index too, and what qualifies it."""
    from IPython.display import Markdown, display

    display(Markdown(f"**Verdict.** {' '.join([sentence, *more])}"))


def key_figures_bundle(figures: Mapping[str, object]) -> dict[str, object]:
    """The mimebundle: a table for readers, text for terminals, JSON for the index."""
    rows: KeyFigures = [
        (str(name), [(str(n), str(v)) for n, v in value.items()] if isinstance(value, Mapping) else str(value))
        for name, value in figures.items()
    ]
    width = max((len(name) for name, value in rows if isinstance(value, str)), default=0)
    texts = {name: value if isinstance(value, str) else ", ".join(map(" ".join, value)) for name, value in rows}
    text = "\n  ".join([TITLE, *(f"{name:<{width}}  {value}" for name, value in texts.items())])
    return {MIMETYPE: rows, "text/html": f"<style>{IN_LAB}</style>{key_figures_html(rows)}", "text/plain": text}


def for_card(figures: KeyFigures) -> KeyFigures:
    """The first figures, up to ON_CARD values: each value of a list counts, and a list that is too long is left out."""
    kept, left = [], ON_CARD
    for name, value in figures:
        size = 1 if isinstance(value, str) else len(value)
        if size <= left and NO_TEST not in value:
            short = textwrap.shorten(value, LINES, placeholder=" …") if isinstance(value, str) else value
            kept.append((name, short))
            left -= size
    return kept


def key_figures_html(figures: KeyFigures) -> str:
    """The table, a row a figure; a figure of several values is a list in columns below its name."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        if isinstance(value, str)
        else f'<tr><td colspan="2">{escape(name)}{_list(value)}</td></tr>'
        for name, value in figures
    )
    return f'<table class="key-figures"><caption>{TITLE}</caption><tbody>{rows}</tbody></table>'


def _list(values: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<li>{escape(name)} <b>{escape(value)}</b></li>" for name, value in values)
    return f"<ul>{items}</ul>"
