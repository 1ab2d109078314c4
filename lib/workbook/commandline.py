"""The command line behind run_all.py: plan, execute, report."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lib.errors import CommandLine
from lib.workbook.notebook_source import imports_lib, read_source
from lib.workbook.parameters import read_parameters
from lib.workbook.plan import find_notebooks, number, plan
from lib.workbook.shared_options import new_parser, options
from lib.workbook.warm import PACKAGES, TOOLS, warm_up

HELP_P = "set a parameter in every notebook that has it, or in one with 02.NAME=VALUE; may be repeated"
EPILOG = """\
examples:
  python run_all.py                              all notebooks, on the built-in data
  python run_all.py 01 02 --profile smoke        two of them, in seconds
  python run_all.py --dataset HAM10000 --data-root ~/data/ham10000 --profile full
  python run_all.py -p 02.max_epoch=5 -p 02.fusion_strategy=cross_attn
  python run_all.py sweep --help                 many runs of a notebook: a grid, or a protocol for a whole study

A notebook whose code, parameters and inputs did not change is not executed again; --force does. One that fails does not stop the others. The exit status is 0 when all are ok, 1 when one is not,
2 for a mistake on the command line, 130 after Ctrl-C. What was done is in OUTPUT_DIR/report/index.html.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what `arguments` (default: the process's own) ask for; returns the exit status.

    Raises:
        WorkbookError: a mistake of the user's, found before anything runs.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["sweep"]:
        from lib.workbook.sweep_commandline import main as sweep_main  # slow to import, as whatever executes is

        return sweep_main(arguments[1:])
    chosen = _parser().parse_intermixed_args(arguments)  # 02 --profile smoke 05
    notebooks = find_notebooks(chosen.notebooks)
    if chosen.list:
        return list_notebooks(notebooks)
    output_dir = chosen.output_dir.absolute()
    jobs = plan(notebooks, output_dir, options(chosen), chosen.parameters)
    report = output_dir / "report"
    if chosen.force or any(not (report / f"{job.notebook.stem}.html").exists() for job in jobs):  # surely executed
        warm_up(PACKAGES if any(imports_lib(path) for path in notebooks) else TOOLS)
    from lib.workbook.notebooks import run  # slow to import, and not needed to list, or to find a mistake

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's stop is a Ctrl-C
    return run(jobs, report, chosen.force, chosen.timeout, chosen.workers)


def list_notebooks(notebooks: Sequence[Path]) -> int:
    """Print each notebook's title and its parameters with type, default and help."""
    for path in notebooks:
        print(f"{number(path)}  {read_source(path).title or path.stem}  ({path.name})")
        for parameter in read_parameters(path).values():
            explained = f"  # {parameter.help}" if parameter.help else ""
            print(f"      {parameter.name}: {parameter.type_name} = {parameter.default!r}{explained}")
    return 0


def _parser() -> CommandLine:
    parser = new_parser("run_all.py", "Execute the workbook's notebooks and write an HTML report.", EPILOG)
    add = parser.add_argument
    add("notebooks", nargs="*", metavar="NOTEBOOK", help="a number (02), a name or a path; default: all, in order")
    add("-p", dest="parameters", metavar="NAME=VALUE", action="append", default=[], help=HELP_P)
    add("--list", action="store_true", help="list the notebooks with their parameters, and run nothing")
    return parser
