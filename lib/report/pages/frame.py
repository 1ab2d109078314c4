"""What all pages of the report share: templates, style sheet, and what a browser may load."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from pygments.formatters import HtmlFormatter

from lib.files import write_text
from lib.view_files import script_sources

TEMPLATES = Path(__file__).parent / "templates"


def write_page(target: Path, template: str, **content: Any) -> None:
    """Fill a template, whose page runs no script; whatever stands in `content` is escaped."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    page = environment.get_template(template).render(security=content_security(), style=style(), **content)
    write_text(target, page)


def content_security(*scripts: str) -> str:
    """The Content-Security-Policy of a page: it asks nothing of anywhere, and of scripts runs `scripts` alone.

    Inline handlers and `javascript:` addresses are no scripts of a page, so none runs, whatever a notebook shows.
    """
    allowed = f"img-src data:; style-src 'unsafe-inline'; script-src {script_sources(scripts)}"
    return f"default-src 'none'; {allowed}; form-action 'none'; base-uri 'none'"


def style() -> str:
    """The style sheet of every page, with Pygments' colours for light and dark."""
    light, dark = (HtmlFormatter(style=name).get_style_defs(".highlight") for name in ("friendly", "github-dark"))
    sheet = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n{sheet}"
