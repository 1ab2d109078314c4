"""Markdown as the report's pages need it: unique headings to link to, and formulas that no script has to draw."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape, unescape

from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath


@dataclass(frozen=True)
class Heading:
    """A heading of a page; `html` is its content, inline markup included."""

    level: int
    html: str
    id: str

    @property
    def text(self) -> str:
        """The heading without markup; MathML loses its structure but keeps its symbols."""
        return _strip_tags(self.html)


class Page:
    """Renders the Markdown cells of one page, from top to bottom, and collects their headings."""

    def __init__(self) -> None:
        self.headings: list[Heading] = []

    def render(self, source: str, attachments: dict | None = None) -> str:
        """The HTML of one cell; pictures come from its `attachments`."""
        renderer = _Renderer(self.headings, attachments=attachments or {}, escape=False)
        return MarkdownWithMath(renderer=renderer).render(source)


def render_untrusted(source: str) -> str:
    """The HTML of `source`, tags in it escaped."""
    return MarkdownWithMath(renderer=_Renderer([], escape=True)).render(source)


def plain_text(source: str) -> str:
    """The text of `source` without its Markdown; tags in it stay as they are written."""
    return _strip_tags(render_untrusted(source)).strip()


class _Renderer(IPythonRenderer):
    def __init__(self, headings: list[Heading], **options) -> None:
        super().__init__(**options)
        self.headings = headings

    def heading(self, text: str, level: int, **attrs) -> str:
        slug = re.sub(r"[^\w]+", "-", _strip_tags(text).casefold()).strip("-") or "section"
        taken = sum(re.fullmatch(re.escape(slug) + r"(-\d+)?", known.id) is not None for known in self.headings)
        heading = Heading(level, text, f"{slug}-{taken + 1}" if taken else slug)
        self.headings.append(heading)
        return f'<h{level} id="{escape(heading.id)}">{text}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """A link to a sibling notebook leads to its page."""
        if re.fullmatch(r"(\./)?[\w-]+\.ipynb(#.*)?", url):
            url = url.replace(".ipynb", ".html", 1)
        return super().link(text, url, title)

    def table(self, text: str) -> str:
        return f'<div class="scroll"><table>\n{text}</table></div>\n'  # a wide table scrolls inside the page

    def inline_math(self, body: str) -> str:
        return _mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return f'<div class="scroll">{_mathml(body, "block")}</div>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")


def _strip_tags(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


def _mathml(tex: str, display: str) -> str:
    """The formula as MathML, which browsers draw by themselves; as code where it cannot be converted."""
    try:
        return convert(tex.strip(), display=display)
    except Exception:  # latex2mathml has no common base for its errors
        return f"<code>{escape(tex)}</code>"
