"""A benchmark's own command line: its options are the keywords of its `rows`."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.rows import NotRun, Row
from benchmarks.table import line
from lib.errors import CommandLine, run_command

Rows = Callable[..., Iterator[Row | NotRun]]


def run(rows: Rows) -> None:
    """Print the rows as they come; exit status 1 where one misses what is wanted."""
    run_command(lambda: _run(rows))


def _run(rows: Rows) -> int:
    spec = rows.__globals__["__spec__"]
    parser = CommandLine(prog=f"python -m {spec.name}", description=rows.__globals__["__doc__"])
    add_options(parser, rows)
    missed = 0
    for row in rows(**vars(parser.parse_args())):
        print(line(row), flush=True)
        missed += isinstance(row, Row) and row.missed
    return 1 if missed else 0


def add_options(parser: CommandLine, *benchmarks: Rows) -> None:
    """A flag for each keyword of `benchmarks`, of its default's type; None stands for a folder that may be named."""
    for name, default in {name: default for rows in benchmarks for name, default in options(rows).items()}.items():
        how: dict[str, Any] = {"type": type(default), "default": default, "metavar": type(default).__name__.upper()}
        if isinstance(default, bool):
            how = {"action": "store_true"}
        elif default is None:
            how = {"type": Path, "metavar": "DIR"}
        parser.add_argument(f"--{name.replace('_', '-')}", **how)


def options(rows: Rows) -> dict[str, Any]:
    """{keyword of `rows`: its default}"""
    return {name: parameter.default for name, parameter in inspect.signature(rows).parameters.items()}
