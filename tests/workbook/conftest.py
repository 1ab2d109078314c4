from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


def write_notebook(path: Path, *cells: str, parameters: str | None = "x: int = 3  # a number") -> Path:
    """Write a notebook: its parameters cell, then `cells`; those that begin with '#! ' are Markdown."""
    first = [] if parameters is None else [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    rest = [new_markdown_cell(c[3:]) if c.startswith("#! ") else new_code_cell(c) for c in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[*first, *rest]), path)
    return path


@pytest.fixture(scope="session")
def notebook() -> Callable[..., Path]:
    return write_notebook
