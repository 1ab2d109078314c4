"""What a notebook says about itself before it runs, found by reading its file: what its cells hold, and its metadata.

nbformat, which executed notebooks are read with, takes longer to import than a plan takes to make.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lib.errors import WorkbookFileError, WorkbookValueError


@dataclass(frozen=True)
class Cell:
    """What stands in one cell."""

    cell_type: str  # 'code', 'markdown' or 'raw'
    source: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A notebook as it was written, without outputs."""

    cells: list[Cell]
    metadata: dict[str, Any]

    @property
    def title(self) -> str | None:
        """The first Markdown heading, as it is written."""
        prose = "\n\n".join(cell.source for cell in self.cells if cell.cell_type == "markdown")
        heading = re.search(r"^#{1,6} +(.+?)[ #]*$", prose, re.MULTILINE)
        return heading[1] if heading else None


def read_source(notebook: Path) -> Source:
    """What the file `notebook` holds.

    Raises:
        WorkbookFileError: there is no such file.
        WorkbookValueError: it is no notebook.
    """
    try:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        if content["nbformat"] != 4:
            content = _of_today(content)
        return Source([_cell(**cell) for cell in content["cells"]], content["metadata"])
    except FileNotFoundError:
        raise WorkbookFileError(f"There is no notebook {notebook}.") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise WorkbookValueError(f"{notebook} is not a Jupyter notebook.") from None


def _of_today(content: dict[str, Any]) -> dict[str, Any]:
    """A notebook of another format than 4, of 2015, in that."""
    import nbformat  # slow to import

    return nbformat.convert(nbformat.from_dict(content), 4)


def _cell(cell_type: str, source: str | list[str], metadata: Mapping[str, Any], **others: object) -> Cell:
    return Cell(cell_type, "".join(source), tuple(metadata.get("tags", ())))


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


def imports_lib(notebook: Path) -> bool:
    """Whether any of its cells imports something of the workbook's."""
    return any(
        (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lib")
        or (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "lib" for alias in node.names))
        for node in _nodes(notebook)
    )


def _nodes(notebook: Path) -> Iterator[ast.AST]:
    """Every piece of the notebook's Python, in order; a cell that is none will say so itself."""
    for cell in read_source(notebook).cells:
        if cell.cell_type == "code":
            try:
                yield from ast.walk(ast.parse(python(cell.source)))
            except SyntaxError:
                continue
