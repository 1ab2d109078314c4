"""What the command lines of `run_all.py` and `run_all.py sweep` share."""

import argparse
from pathlib import Path
from typing import Any

from lib.errors import CommandLine, WorkbookError, WorkbookFileError, choose
from lib.paths import OUTPUTS

PROFILES = ("smoke", "quick", "full", "paper")


def new_parser(prog: str, description: str, epilog: str) -> CommandLine:
    """A parser with the shared options; `epilog` keeps its lines."""
    parser = CommandLine(
        prog, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--profile", metavar="NAME", help=f"how much to compute: {', '.join(PROFILES)}; default: the notebooks' own")
    add("--dataset", metavar="NAME", help="the data set; default: the notebooks' own, which is built in")
    add("--data-root", type=Path, metavar="PATH", help="the folder that holds the data set")
    add("--output-dir", type=Path, metavar="PATH", default=OUTPUTS, help="where runs and report go (default: outputs)")
    add("--skip-unreadable", action="store_true", help="leave out images that cannot be read instead of stopping")
    add("--force", action="store_true", help="execute again what did not change, too")
    add("--workers", type=_workers, metavar="N", help="how many at a time; default: one a GPU, without one a core")
    add("--timeout", type=_seconds, metavar="SECONDS", help="the most that one notebook may take; default: no limit")
    return parser


def options(chosen: argparse.Namespace) -> dict[str, Any]:
    """The notebooks' parameters that have an option of their own, where it was given.

    Raises:
        WorkbookError: an unknown profile or data set, a data root that is no folder or without its data set.
    """
    if chosen.data_root and not chosen.dataset:
        raise WorkbookError("--data-root needs --dataset, which says what is in that folder.")
    if chosen.data_root and not chosen.data_root.is_dir():
        raise WorkbookFileError(f"The data root {chosen.data_root} does not exist or is not a folder.")
    given = {
        "profile": chosen.profile and choose("profile", chosen.profile, PROFILES),
        "dataset": chosen.dataset and known_dataset(chosen.dataset),
        "data_root": chosen.data_root and str(chosen.data_root.resolve()),  # notebooks run in another folder
        "skip_unreadable": chosen.skip_unreadable or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def known_dataset(name: str) -> str:
    """The data set that `name` means; a WorkbookValueError where there is none."""
    from lib.data import DATASETS  # takes a second, and most calls do not name one

    return choose("dataset", name, DATASETS)


def _seconds(text: str) -> float:
    """A positive number; the ValueError for other text becomes argparse's message."""
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"takes a number of seconds above 0, not {text!r}")
    return float(text)


def _workers(text: str) -> int:
    """A whole number of at least 1; the ValueError for other text becomes argparse's message."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"takes a whole number of at least 1, not {text!r}")
    return int(text)
