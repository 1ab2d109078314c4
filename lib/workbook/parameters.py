"""What a notebook may be asked: its one cell tagged `parameters`, read without running it.

Every line of the cell reads `name: type = value  # help`, with the type `str`, `int`, `float`, `bool`
or one of them `| None`. Papermill guesses types and only warns about unknown names (papermill#869);
here both are errors, raised before anything runs.
"""

import ast
import hashlib
import io
import json
import os
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.errors import WorkbookValueError, unknown
from lib.workbook.notebook_source import read_source

TYPES = {"str": str, "int": int, "float": float, "bool": bool}
TAG = "parameters"
PLACES = ("output_dir",)  # parameters that say where results go, not what they are


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell."""

    name: str
    type: type
    default: Any
    optional: bool = False  # whether None is allowed
    help: str = ""

    @property
    def type_name(self) -> str:
        """The type as the notebook writes it, `int | None`."""
        return self.type.__name__ + (" | None" if self.optional else "")


def read_parameters(path: Path) -> dict[str, Parameter]:
    """The parameters of the notebook at `path` by name, in the order of the cell.

    Raises:
        WorkbookFileError: there is no notebook at `path`.
        WorkbookValueError: what is there is no notebook; no parameters cell, more than one, or a line that cannot be understood.
    """
    cells = [cell.source for cell in read_source(path).cells if TAG in cell.tags]
    if len(cells) != 1:
        number = f"{len(cells)} cells" if cells else "no cell"
        raise WorkbookValueError(f"{path.name} has {number} tagged {TAG!r}; a notebook needs exactly one.")
    return read_cell(cells[0], path.name)


def read_cell(source: str, where: str = "the cell") -> dict[str, Parameter]:
    """The parameters written in `source`; `where` names the notebook in error messages."""
    try:
        lines = ast.parse(source).body
    except SyntaxError as error:
        raise _malformed(where, error.lineno or 1, source) from None
    comments = _comments(source)
    parameters: dict[str, Parameter] = {}
    for line in lines:
        try:
            parameter = _read_line(line, _comment_of(line, comments))
        except (ValueError, TypeError):
            raise _malformed(where, line.lineno, source) from None
        if parameter.name in parameters:
            raise WorkbookValueError(f"{where} sets the parameter {parameter.name!r} twice.")
        parameters[parameter.name] = parameter
    return parameters


def parse(parameter: Parameter, value: Any) -> Any:
    """`value` as the type of `parameter`: text is converted, anything else must already be of the type.

    Raises:
        WorkbookValueError: the value is of another type; the message names parameter, value and type.
    """
    try:
        return _convert(parameter.type, parameter.optional, value)
    except ValueError:
        wanted = "true or false" if parameter.type is bool else parameter.type.__name__
        wanted += ", or none" if parameter.optional else ""
        raise WorkbookValueError(f"Parameter {parameter.name!r} must be {wanted}, not {value!r}.") from None


def placed(name: str, value: Any, folder: Path) -> Any:
    """`value`, that was given to the parameter `name` by somebody in `folder`: a relative path begins there, wherever
    the notebook runs. What may be a name as well, `protocol` or `weights`, is a path where there is such a file (or folder, of
    a run)."""
    if not isinstance(value, str) or value.casefold() in ("", "none"):
        return value
    path = folder / Path(value).expanduser()
    is_there = (name in ("checkpoint", "protocol", "weights") and path.is_file()) or (
        name == "weights" and path.is_dir()
    )
    is_path = is_there or name.endswith(("_root", "_dir"))
    return os.path.normpath(path) if is_path else value


def parse_all(parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter with its value: from `values` where given, else its default.

    Raises:
        WorkbookValueError: a name that is not among `parameters`, or a value of the wrong type.
    """
    check_names(values, parameters)
    return {
        name: parse(parameter, values[name]) if name in values else parameter.default
        for name, parameter in parameters.items()
    }


def hash_of(*parts: Any) -> str:
    """Sixteen hex digits that follow `parts`, such as values by name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise a WorkbookValueError for the first of `names` that is not `known`."""
    known = list(known)
    for name in names:
        if name not in known:
            raise unknown("parameter", name, known)


def _read_line(line: ast.stmt, help: str) -> Parameter:
    """One `name: type = value`; a ValueError or TypeError when the line is something else."""
    if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value):
        raise ValueError("not an annotated assignment")
    type_, optional = _read_type(line.annotation)
    value = ast.literal_eval(line.value)
    if isinstance(value, str) and type_ is not str:
        raise ValueError("text where another type is declared")
    keep = value is None and optional
    return Parameter(line.target.id, type_, None if keep else _convert(type_, False, value), optional, help)


def _read_type(node: ast.expr) -> tuple[type, bool]:
    names = [name.strip() for name in ast.unparse(node).split("|")]
    optional = len(names) == 2 and "None" in names
    if optional:
        names.remove("None")
    if len(names) != 1 or names[0] not in TYPES:
        raise ValueError("a type that a command line cannot give")
    return TYPES[names[0]], optional


def _convert(type_: type, optional: bool, value: Any) -> Any:
    if optional and (value is None or (isinstance(value, str) and value.casefold() == "none")):
        return None
    if isinstance(value, str) and type_ is bool:
        return ["false", "true"].index(value.casefold()) == 1  # index raises ValueError for other text
    if isinstance(value, str) or (type_ is float and type(value) is int):
        return type_(value)
    if type(value) is not type_:  # not isinstance: True would pass as an int
        raise ValueError("another type")
    return value


def _comments(source: str) -> dict[int, str]:
    """The text of the comment on each line that has one, without a further one that follows on that line."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    return {line: text.partition("  # ")[0] for line, text in comments.items()}


def _comment_of(line: ast.stmt, comments: Mapping[int, str]) -> str:
    """Of a statement that goes over several lines, as a formatter writes it where the comment is long, the last comment."""
    return next((comments[i] for i in range(line.end_lineno, line.lineno - 1, -1) if i in comments), "")


def _malformed(where: str, line: int, source: str) -> WorkbookValueError:
    text = source.splitlines()[line - 1].strip() if source else ""
    return WorkbookValueError(
        f"{where}, parameters cell, line {line}: cannot read {text!r}. "
        f"Write 'name: type = value  # help' with a type of {', '.join(TYPES)}, or one of them with '| None'."
    )
