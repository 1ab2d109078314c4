"""Markdown as the report's pages need it: unique headings to link to, and formulas that no script has to draw."""

import re
from dataclasses import dataclass
from html import escape, unescape
from itertools import chain, count
from xml.etree.ElementTree import tostring

from latex2mathml.converter import convert_to_element
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# Addresses that text from anywhere may link to. What is left out: other schemes, however they are written, and other
# machines' shares (`//host/share`, which is a file's address in a page that is a file).
HARMLESS = r"https?://|mailto:|#|[\w.%-]+(/[\w.%-]+)*/?([?#]|$)"


@dataclass(frozen=True)
class Heading:
    """A heading of a page; `html` is its content, inline markup included."""

    level: int
    html: str
    id: str

    @property
    def text(self) -> str:
        """The heading without markup; MathML loses its structure but keeps its symbols."""
        return strip_tags(self.html)


class Page:
    """Renders the Markdown cells of one page, from top to bottom, and collects their headings."""

    def __init__(self) -> None:
        self.headings: list[Heading] = []
        self.taken = {"failed", "all-code"}  # addresses in the page; these are the template's

    def render(self, source: str, attachments: dict | None = None) -> str:
        """The HTML of one cell; pictures come from its `attachments`."""
        renderer = _Renderer(self, attachments=attachments or {}, escape=False)
        return MarkdownWithMath(renderer=renderer).render(source)

    def address(self, words: str) -> str:
        """An id that tells `words` and is not yet in the page: letters of any script, digits, dashes."""
        slug = re.sub(r"[^\w]+", "-", words.casefold()).strip("-") or "section"
        addresses = chain([slug], (f"{slug}-{n}" for n in count(2)))
        free = next(address for address in addresses if address not in self.taken)
        self.taken.add(free)
        return free


def render_untrusted(source: str) -> str:
    """The HTML of `source`, which may hold anything: its tags are text, its links lead to the web, to mail or into the
    report, and of its pictures their names are left."""
    return MarkdownWithMath(renderer=_Untrusted(Page(), escape=True)).render(source)


def plain_text(source: str) -> str:
    """The text of `source` without its Markdown; tags in it stay as they are written."""
    return strip_tags(render_untrusted(source)).strip()


def page_of(url: str) -> str:
    """Where a link leads in the report: to the page of a sibling notebook, else where it led before."""
    return url.replace(".ipynb", ".html", 1) if re.fullmatch(r"(\./)?[^/:?#]+\.ipynb(#.*)?", url) else url


def link_pages(html: str) -> str:
    """`html` whose links to sibling notebooks lead to their pages."""
    return re.sub(r'(<a href=")([^"]+)', lambda link: link[1] + page_of(link[2]), html)


class _Renderer(IPythonRenderer):
    def __init__(self, page: Page, **options) -> None:
        super().__init__(**options)
        self.page = page

    def heading(self, text: str, level: int, **attrs) -> str:
        heading = Heading(level, text, self.page.address(strip_tags(text)))
        self.page.headings.append(heading)
        return f'<h{level} id="{escape(heading.id)}">{text}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """A link to a sibling notebook leads to its page."""
        return super().link(text, page_of(url), title)

    def table(self, text: str) -> str:
        """A wide table scrolls inside the page, by keys too."""
        return f'<div class="scroll" role="region" tabindex="0" aria-label="table"><table>\n{text}</table></div>\n'

    def inline_math(self, body: str) -> str:
        return _mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return f'<div class="scroll">{_mathml(body, "block")}</div>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")


class _Untrusted(_Renderer):
    """What `escape` leaves open: addresses, and code that a library would draw as a diagram."""

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, url, title) if re.match(HARMLESS, url) else text

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return text

    def block_mermaidjs(self, code: str) -> str:
        return f"<pre><code>{escape(code)}</code></pre>\n"


def strip_tags(html: str) -> str:
    """The text in `html`; a bare "<", as in "p < 0.05", is text."""
    return unescape(re.sub(r"</?[a-zA-Z][^>]*>", "", html))


def _mathml(tex: str, display: str) -> str:
    """The formula as MathML, which browsers draw by themselves; as code where it cannot be converted."""
    try:
        formula = convert_to_element(tex.strip(), display=display)
    except Exception:  # latex2mathml has no common base for its errors
        return f"<code>{escape(tex)}</code>"
    for element in formula.iter():  # latex2mathml writes symbols as entities, and its `convert` opens tags with them
        element.text = unescape(element.text or "")
    return tostring(formula, encoding="unicode")
