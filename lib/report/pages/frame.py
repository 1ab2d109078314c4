"""What all pages of the report share: templates, style sheet, and what a browser may load."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from pygments.formatters import HtmlFormatter

from lib.files import write_text

TEMPLATES = Path(__file__).parent / "templates"
CONTENT_SECURITY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_page(target: Path, template: str, **content: Any) -> None:
    """Fill a template; whatever stands in `content` is escaped."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    page = environment.get_template(template).render(security=CONTENT_SECURITY, style=style(), **content)
    write_text(target, page)


def style() -> str:
    """The style sheet of every page, with Pygments' colours for light and dark."""
    light, dark = (HtmlFormatter(style=name).get_style_defs(".highlight") for name in ("friendly", "github-dark"))
    sheet = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n{sheet}"
