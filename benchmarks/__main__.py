"""All comparisons side by side: one table of ratios with their spread, JSON, and what has moved.

    python -m benchmarks                                     # those that take a minute or a few
    python -m benchmarks dcal explain.grad_cam --quick       # some: of a room, or one; smaller and with fewer turns
    python -m benchmarks --json now.json --compare before.json
    python -m benchmarks --vit-explain DIR --lesa-official DIR --gl-attention DIR

A ratio is the median over turns of one run, its spread their least and greatest; the last column tells what the two were.
Beside it stands the ratio of processor time, which other programs hardly change. What takes long is run where it is named.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import peers, table
from benchmarks.program import options
from benchmarks.rows import NotRun, Row
from lib.errors import CommandLine, WorkbookError, run_command, unknown

SIDE_BY_SIDE = (
    "data.pixel_cache",
    "glsa.step",
    "glsa.block",
    "gattanet.step",
    "lesa.step",
    "lesa.official",
    "dcal.step",
    "dcal.rollout",
    "explain.grad_cam",
    "explain.faithfulness",
    "explain.explorer_reaction",
    "retrieval.reid_evaluation",
    "training.busy_neighbour",
    "freed_memory",
    "workbook.fan_out",
)
BY_NAME = (
    "explain.fewer_steps",
    "memory",
    "workbook.large_study",
    "workbook.lost_node",
    "time_to_accuracy",
    "fuzz",
    "kills",
    "soak",
)


def main() -> int:
    """Exit status 1 where a ratio misses what is wanted of it."""
    parser = CommandLine(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join((*SIDE_BY_SIDE, *BY_NAME))}")
    parser.add_argument("--quick", action="store_true", help="smaller, with fewer turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="what a former --json wrote")
    for clone, place in peers.CLONES.items():
        parser.add_argument(f"--{clone.replace('_', '-')}", type=Path, metavar="DIR", help=f"a clone of {place}")
    asked = vars(parser.parse_args())
    names, file, compare = chosen(asked.pop("names")), asked.pop("json"), asked.pop("compare")
    before, results = table.read(compare) if compare else None, {}
    if file:
        table.refuse_unwritable(file)
    for name in names:
        results[name] = []
        for row in found(name, asked):
            results[name].append(row)
            print(f"{name}: {table.line(row)}", file=sys.stderr, flush=True)
        if file:
            table.write(file, results)
    print(table.table(results, before))
    return int(any(isinstance(row, Row) and row.missed for rows in results.values() for row in rows))


def chosen(names: Sequence[str]) -> list[str]:
    """The benchmarks that `names` stand for; none stands for all that are run side by side.

    Raises:
        WorkbookValueError: a name that is no benchmark's and no room's.
    """
    known, wanted = (*SIDE_BY_SIDE, *BY_NAME), []
    for name in names:
        meant = [each for each in known if each == name or each.startswith(f"{name}.")]
        if not meant:
            raise unknown("benchmark", name, known)
        wanted += meant
    return list(dict.fromkeys(wanted or SIDE_BY_SIDE))


def found(name: str, asked: dict[str, Any]) -> Iterator[Row | NotRun]:
    """The rows of a benchmark; what is not here that it needs is told."""
    try:
        rows: Callable = importlib.import_module(f"benchmarks.{name}").rows
        yield from rows(**{key: value for key, value in asked.items() if key in options(rows)})
    except ImportError as error:
        yield NotRun(name, f"it needs {error.name}, which is not installed")
    except WorkbookError as error:
        yield NotRun(name, str(error))


if __name__ == "__main__":
    run_command(main)
