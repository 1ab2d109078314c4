"""A hook of mkdocs: formulas as MathML, which browsers draw by themselves; MathJax would be an outside request."""

import re
from html import unescape

from latex2mathml.converter import convert

FORMULA = r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>'


def on_page_content(html: str, **_) -> str:
    """The page's HTML with every formula that arithmatex found converted."""
    return re.sub(FORMULA, _mathml, html, flags=re.DOTALL)


def _mathml(found: re.Match[str]) -> str:
    display = "inline" if found[1] == "span" else "block"
    formula = convert(unescape(found[2]).strip(), display=display)
    return formula if display == "inline" else f'<div class="formula">{formula}</div>'
