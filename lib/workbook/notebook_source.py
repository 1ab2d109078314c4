"""What the code of a notebook says about itself, found by reading it."""

import ast
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat


def python(source: str) -> str:
    """A code cell without IPython's own lines."""
    return "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))


def check_of(notebook: Path) -> Callable[[Mapping[str, Any]], object] | None:
    """The function of `lib` to which the notebook gives its `globals()`, as in `config = config_of(globals())`: it makes
    something of the parameters and raises a WorkbookValueError for those of which nothing can be made. None if there is
    none. So a notebook's parameters can be checked before it runs, by someone who knows nothing of what it does.
    """
    homes: dict[str, str] = {}
    for node in _nodes(notebook):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lib":
            homes |= {alias.asname or alias.name: f"{node.module}:{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and [ast.unparse(arg) for arg in node.args] == ["globals()"]:
            home = homes.get(ast.unparse(node.func))
            if home is not None:
                module, _, name = home.partition(":")
                return getattr(import_module(module), name)
    return None


def _nodes(notebook: Path) -> Iterator[ast.AST]:
    """Every piece of the notebook's Python, in order; a cell that is none will say so itself."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            try:
                yield from ast.walk(ast.parse(python(cell.source)))
            except SyntaxError:
                continue
