"""A hook of mkdocs: README's claims table, which has one source, on the site."""

import re

from lib.paths import ROOT

CLAIMS = "<!-- claims of README -->"
SECTION = re.compile(r"<!-- claims -->\n(.*?)\n<!-- /claims -->", re.DOTALL)


def on_page_markdown(markdown: str, **_) -> str:
    """`markdown` with README's claims in place of CLAIMS; links to notebooks lead to their cards in the gallery."""
    if CLAIMS not in markdown:
        return markdown
    (claims,) = SECTION.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return markdown.replace(CLAIMS, re.sub(r"\(notebooks/(\w+)\.ipynb\)", r"(gallery.md#\1)", claims))
