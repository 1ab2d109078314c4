"""The command line behind run_all.py: plan, execute one notebook after the other, report."""

from __future__ import annotations

import argparse
import signal
import traceback
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat

from lib.errors import CommandLine, WorkbookError, WorkbookFileError, choose
from lib.paths import OUTPUTS
from lib.progress import duration
from lib.report.digest import title
from lib.report.html import export_html
from lib.report.overview import Entry, read_entries, record, write_index
from lib.workbook.execute import Result, execute
from lib.workbook.parameters import read_parameters
from lib.workbook.plan import Job, find_notebooks, number, plan

PROFILES = ("smoke", "quick", "full", "paper")
HELP_P = "set a parameter in every notebook that has it, or in one with 02.NAME=VALUE; may be repeated"
EPILOG = """\
examples:
  python run_all.py                              all notebooks, on the built-in data
  python run_all.py 01 02 --profile smoke        two of them, in seconds
  python run_all.py --dataset HAM10000 --data-root ~/data/ham10000 --profile full
  python run_all.py -p 02.max_epoch=5 -p 02.fusion_strategy=cross_attn

A notebook that fails does not stop the others. The exit status is 0 when all are ok, 1 when one is not,
2 for a mistake on the command line, 130 after Ctrl-C. What was done is in OUTPUT_DIR/report/index.html.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what `arguments` (default: the process's own) ask for; returns the exit status.

    Raises:
        WorkbookError: a mistake of the user's, found before anything runs.
    """
    chosen = _parser().parse_intermixed_args(arguments)  # 02 --profile smoke 05
    notebooks = find_notebooks(chosen.notebooks)
    if chosen.list:
        return list_notebooks(notebooks)
    output_dir = chosen.output_dir.absolute()
    jobs = plan(notebooks, output_dir, _options(chosen), chosen.parameters)
    read_entries(output_dir / "report")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's stop is a Ctrl-C
    return run(jobs, output_dir / "report", chosen.timeout)


def run(jobs: Sequence[Job], report: Path, timeout: float | None = None) -> int:
    """Execute `jobs` and report on each in the folder `report`; returns 0 when all are ok, else 1.

    Raises:
        KeyboardInterrupt: the user stopped a notebook; its partial output is in the report.
    """
    statuses = []
    for job in jobs:
        print(f"{number(job.notebook)} | {job.notebook.stem}", flush=True)
        executed = report / "notebooks" / job.notebook.name
        result = _report(job, execute(job.notebook, executed, job.parameters, timeout), executed, report)
        print(f"{number(job.notebook)} | {_tell(result)}", flush=True)
        if result.status == "interrupted":
            raise KeyboardInterrupt
        statuses.append(result.status)
    print(f"{statuses.count('ok')} of {len(statuses)} notebooks ok: {report / 'index.html'}")
    return 0 if set(statuses) == {"ok"} else 1


def list_notebooks(notebooks: Sequence[Path]) -> int:
    """Print each notebook's title and its parameters with type, default and help."""
    for path in notebooks:
        print(f"{number(path)}  {title(nbformat.read(path, as_version=4)) or path.stem}  ({path.name})")
        for each in read_parameters(path).values():
            print(f"      {each.name}: {each.type_name} = {each.default!r}{'  # ' * bool(each.help)}{each.help}")
    return 0


def _report(job: Job, result: Result, executed: Path, report: Path) -> Result:
    """Note `result`, write the notebook's page and the index. A page that cannot be written makes the
    notebook a failed one; it must not stop a night's others."""
    record(report, executed.stem, _entry(job, result))
    try:
        export_html(executed, report / f"{executed.stem}.html", None if result.status == "ok" else _tell(result))
        write_index(report)
    except Exception as error:
        traceback.print_exc()
        result = Result("failed", result.duration, f"its report could not be written: {error}")
        record(report, executed.stem, _entry(job, result))
    return result


def _entry(job: Job, result: Result) -> Entry:
    finished = datetime.now().astimezone().isoformat(timespec="seconds")
    return Entry(result.status, result.duration, finished, job.parameters, result.error)


def _tell(result: Result) -> str:
    where = f" in cell [{result.cell}]" if result.cell else ""
    what = f": {result.error}" if result.error else ""
    return f"{result.status}{where} after {duration(result.duration)}{what}"


def _options(chosen: argparse.Namespace) -> dict[str, Any]:
    """The notebooks' parameters that have an option of their own, where it was given."""
    if chosen.data_root and not chosen.dataset:
        raise WorkbookError("--data-root needs --dataset, which says what is in that folder.")
    if chosen.data_root and not chosen.data_root.is_dir():
        raise WorkbookFileError(f"The data root {chosen.data_root} does not exist or is not a folder.")
    given = {
        "profile": chosen.profile and choose("profile", chosen.profile, PROFILES),
        "dataset": chosen.dataset and _known_dataset(chosen.dataset),
        "data_root": chosen.data_root and str(chosen.data_root.resolve()),  # notebooks run in another folder
        "skip_unreadable": chosen.skip_unreadable or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _known_dataset(name: str) -> str:
    from lib.data import DATASETS  # takes a second, and most calls do not name one

    return choose("dataset", name, DATASETS)


def _parser() -> argparse.ArgumentParser:
    parser = CommandLine(
        prog="run_all.py",
        description="Execute the workbook's notebooks and write an HTML report.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("notebooks", nargs="*", metavar="NOTEBOOK", help="a number (02), a name or a path; default: all, in order")
    add("--profile", metavar="NAME", help=f"how much to compute: {', '.join(PROFILES)}; default: the notebooks' own")
    add("--dataset", metavar="NAME", help="the data set; default: the notebooks' own, which is built in")
    add("--data-root", type=Path, metavar="PATH", help="the folder that holds the data set")
    add("--output-dir", type=Path, metavar="PATH", default=OUTPUTS, help="where runs and report go (default: outputs)")
    add("--skip-unreadable", action="store_true", help="leave out images that cannot be read instead of stopping")
    add("-p", dest="parameters", metavar="NAME=VALUE", action="append", default=[], help=HELP_P)
    add("--timeout", type=_seconds, metavar="SECONDS", help="the most that one notebook may take; default: no limit")
    add("--list", action="store_true", help="list the notebooks with their parameters, and run nothing")
    return parser


def _seconds(text: str) -> float:
    """A positive number; the ValueError for other text becomes argparse's message."""
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"takes a number of seconds above 0, not {text!r}")
    return float(text)
