"""What code a notebook or a run depends on: the modules of `lib` that it imports, and a digest of what they say.

Found by reading, not by running. Comments, docstrings and blank lines do not count: they change no result.
"""

import ast
import functools
import hashlib
import importlib
import io
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from lib.paths import ROOT

LAZY = ("lib", "lib.explain")  # packages whose HOMES tells where a name is
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_digest(modules: Iterable[str], *more: str) -> str:
    """Sixteen hex digits that follow the code of `modules`, of all of `lib` that they import, and the texts `more`."""
    digest = hashlib.sha256()
    for name in sorted(imported(modules)):
        digest.update(f"{name}\n{statements_of(name)}\n".encode())
    for text in more:
        digest.update(f"\0{text}".encode())
    return digest.hexdigest()[:16]


def imported(modules: Iterable[str]) -> set[str]:
    """`modules` and every module of `lib` that they import, directly or through others."""
    names: set[str] = set()
    todo = [name for module in modules for name in _with_parents(module)]
    while todo:
        name = todo.pop()
        path = _file(name)
        if name not in names and path is not None:
            names.add(name)
            todo += _read(path, path.stat().st_mtime_ns)[1]
    return names


def imports(source: str) -> list[str]:
    """The modules of `lib` that a piece of Python imports, wherever in it, each with the packages around it."""
    return _imports(ast.parse(source))


def _imports(tree: ast.Module) -> list[str]:
    names = []
    for node in _nested(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [_home(node.module, alias.name) for alias in node.names]
    return [module for name in names if name.split(".")[0] == "lib" for module in _with_parents(name)]


def statements(source: str) -> str:
    """A piece of Python without comments, docstrings and blank lines."""
    return _statements(source, ast.parse(source))


def _statements(source: str, tree: ast.Module) -> str:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in (tree, *_nested(tree)):
        if (
            isinstance(node, DOCUMENTED)
            and ast.get_docstring(node)
            and node.body[0].lineno > getattr(node, "lineno", 0)
        ):
            first, last = node.body[0].lineno - 1, node.body[0].end_lineno
            lines[first:last] = [""] * (last - first)
            if len(node.body) == 1:  # it has no other statement: what is left is to be Python still
                lines[first] = f"{' ' * node.body[0].col_offset}pass"
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _nested(node: ast.AST) -> Iterator[ast.AST]:
    """The statements in a node, at any depth: a tenth of all nodes, since expressions hold none."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(node, name, ()):
            yield statement
            yield from _nested(statement)


def statements_of(module: str) -> str:
    """`statements` of a module's file, by its name."""
    path = _file(module)
    return _read(path, path.stat().st_mtime_ns)[0]


@functools.cache
def _read(path: Path, changed: int) -> tuple[str, list[str]]:
    """The statements and the imports of a file; `changed`, its time, makes an edited file a new one."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)  # once: it takes longer than all else
    return _statements(source, tree), _imports(tree)


def _home(module: str, name: str) -> str:
    """Where `from module import name` finds it: a module of its own, or one that `lib` names lazily."""
    if module in LAZY:
        package = importlib.import_module(module)
        return package.HOMES.get(getattr(package, "FORMER", {}).get(name, name), f"{module}.{name}")
    return f"{module}.{name}" if _file(f"{module}.{name}") else module


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


@functools.cache
def _file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
