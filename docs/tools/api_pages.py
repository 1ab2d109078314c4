"""A hook of mkdocs: a page of the API for each room of `lib`, from its modules' docstrings."""

from collections.abc import Iterable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from lib.paths import ROOT

HEAD = """# {room}

{modules}
"""
SOURCE = '<details class="mkdocstrings-source"'
DOOR = """::: {room}
    options: {{members: false, show_root_heading: false}}"""  # what it hands on is told where it is defined
INDEX = """# API

Every module of `lib`, from its docstrings: shapes, units, errors raised, and where a formula comes from.

{rooms}
"""


def rooms() -> dict[str, list[str]]:
    """The modules of each room of `lib` by the room's dotted name, `lib` itself first."""
    folders = sorted(path.parent for path in (ROOT / "lib").rglob("__init__.py"))
    return {_dotted(folder): [*map(_dotted, _modules(folder))] for folder in folders}


def _modules(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.glob("*.py") if path.stem != "__main__")


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The rooms' pages among the site's."""
    config.nav.append({"API": ["api/index.md", *({room: f"api/{room}.md"} for room in rooms())]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """`files` and the pages of the API."""
    for room, modules in rooms().items():
        parts = [DOOR.format(room=room), *(f"::: {module}" for module in modules if module != room)]
        text = HEAD.format(room=room, modules="\n\n".join(parts))
        files.append(File.generated(config, f"api/{room}.md", content=text))
    lines = "\n".join(f"* [`{room}`]({room}.md): {len(modules)} modules" for room, modules in rooms().items())
    files.append(File.generated(config, "api/index.md", content=INDEX.format(rooms=lines)))
    return files


def on_page_content(html: str, **_) -> str:
    """The page's HTML with the source that it folds left out of the search, which is for what the docstrings say."""
    return html.replace(SOURCE, f"{SOURCE} data-search-exclude")
