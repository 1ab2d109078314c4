"""`attention-workbook COMMAND …`, or `python -m lib COMMAND …`: the workbook's command lines under one name."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

from lib.errors import choose, run_command
from lib.paths import NOTEBOOKS, ROOT
from lib.version import version


class Command(NamedTuple):
    """A command line: where its `main(arguments)` is, which takes time to load, and what it is for."""

    module: str
    purpose: str


COMMANDS = {
    "report": Command("lib.workbook.commandline", "execute the notebooks and write an HTML report"),
    "sweep": Command("lib.workbook.sweep_commandline", "many runs of a notebook, as a grid or as a protocol says"),
    "train": Command("lib.train", "one training run"),
    "predict": Command("lib.predict", "class probabilities for your own images"),
    "evaluate": Command("lib.evaluate", "test results of a run or a checkpoint, on its own data set or on another"),
    "check": Command("lib.check", "whether the files of runs, and the images that they have seen, are what they were"),
    "publish": Command("lib.publish.__main__", "a run as a folder for the Hub: model card, weights, ONNX"),
    "download": Command("lib.data.download", "fetch a data set"),
    "lab": Command("", "open the notebooks in JupyterLab"),
}
HELP = """usage: attention-workbook COMMAND …

{commands}

attention-workbook COMMAND --help tells what each takes, attention-workbook --version which build this is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: the process's own) begin with; returns its exit status.

    Raises:
        WorkbookError: an unknown command, or what the command raises.
    """
    name, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if name in ("-h", "--help"):
        lines = (f"  {name:<9} {command.purpose}" for name, command in COMMANDS.items())
        print(HELP.format(commands="\n".join(lines)))
        return 0
    if name == "--version":
        print(version())
        return 0
    name = choose("command", name, COMMANDS)
    if name == "lab":
        return lab(rest)
    command: Callable[[Sequence[str]], int | None] = import_module(COMMANDS[name].module).main
    return command(rest) or 0


def lab(arguments: Sequence[str]) -> int:
    """JupyterLab on the notebooks, whose kernels find this `lib` before any other; returns its exit status."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "jupyterlab", str(NOTEBOOKS), *arguments]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode


if __name__ == "__main__":
    run_command(main)
