"""Run one notebook in a process of its own, and tell how it ended."""

import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

import nbformat
import psutil
from ipykernel.kernelspec import write_kernel_spec

from lib.errors import WorkbookError
from lib.files import save_whole
from lib.inputs import NOTES, states
from lib.paths import ROOT
from lib.progress import HEADLESS

DEAD_KERNEL = 138  # the exit status that papermill's command line has for it
NO_PAGE = 3  # the notebook ran, but its page could not be written
PATIENCE_S = 30.0  # a cancelled notebook may save what it has
POLL_S = 0.2


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    status: str  # 'ok', 'failed', 'died', 'timeout' or 'interrupted'
    duration: float  # seconds
    error: str | None = None  # one line
    cell: int | None = None  # the n of In [n] that was running when it ended badly
    inputs: dict[str, str] = field(default_factory=dict)  # what was read, and its state then: see lib.inputs


def execute(
    notebook: Path,
    executed: Path,
    page: Path,
    parameters: Mapping[str, Any],
    *,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
    log: IO[str] | None = None,
    cancelled: Event | None = None,
    check: Callable[[], object] = lambda: None,
) -> Result:
    """Run `notebook` with `parameters` and write it with its outputs to `executed`, whatever happens, and to `page`.

    The kernel is the running interpreter, in the repository's root, with `environment` on top of ours. What the
    notebook prints appears in `log`, or on stdout behind the notebook's number. Ctrl-C, `cancelled` (from another
    thread) and the timeout [s, of the whole run] keep the outputs so far. `check` is called all the time, and before
    anything is written; what it raises stops the run, and nothing is kept.

    Raises:
        WorkbookError: `executed` cannot be written.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="workbook-", ignore_cleanup_errors=True) as folder:
        private = Path(folder)  # to this attempt, so that no other one's is ever touched
        output, html = private / executed.name, private / "page.html"
        spec = {"notebook": str(notebook), "output": str(output), "page": str(html), "parent": os.getpid()}
        spec["parameters"] = dict(parameters)
        surroundings = {**_environment(private), **(environment or {})}
        relay = _writer(log, notebook.stem.split("_")[0])
        stop_when = _Stop(timeout, cancelled or Event(), check)
        ended_by, exit_status, complaint = _run(spec, surroundings, relay, stop_when)
        inputs = states(private / "inputs")
        if exit_status not in (0, NO_PAGE):
            _repair(output, notebook)
        check()
        save_whole(executed, partial(shutil.copyfile, output))
        if exit_status == 0:
            exit_status, complaint = _place(html, page)
    status, error, cell = _verdict(ended_by, exit_status, executed, complaint)
    return Result(status, time.monotonic() - began, error, cell, inputs)


@dataclass(frozen=True)
class _Stop:
    """What may end a run before its time."""

    timeout: float | None
    cancelled: Event
    check: Callable[[], object]


def _run(
    spec: dict, environment: dict[str, str], relay: Callable[[str], None], stop_when: _Stop
) -> tuple[str | None, int, str]:
    """Run the child; returns what ended it, where we did, its exit status, and the last line of its stderr."""
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "lib.workbook.kernel_process", json.dumps(spec)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="replace",
            start_new_session=True,  # a Ctrl-C in the terminal comes to us, and we pass it on
        )
        thread = Thread(target=_relay, args=(process.stdout, relay), daemon=True)
        thread.start()
        ended_by = _wait(process, stop_when)
        thread.join(timeout=5)
        stderr.seek(0)
        return ended_by, process.returncode, stderr.read().strip().rpartition("\n")[2]


def _environment(private: Path) -> dict[str, str]:
    """Ours, with the running interpreter as the kernel 'python3' before any that may be registered elsewhere."""
    write_kernel_spec(private / "kernels" / "python3")
    ours = {
        HEADLESS: "1",
        "JUPYTER_PATH": str(private),
        "JUPYTER_RUNTIME_DIR": str(private / "runtime"),  # connection files hold keys and would pile up
        "IPYTHONDIR": str(private / "ipython"),  # no start-up files of the user's
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        NOTES: str(private / "inputs"),
    }
    return {**os.environ, **ours}


def _writer(log: IO[str] | None, number: str) -> Callable[[str], None]:
    if log is None:
        return lambda line: print(f"{number} | {line}", flush=True)
    return lambda line: print(line, file=log, flush=True)


def _relay(stream: IO[str], write: Callable[[str], None]) -> None:
    for line in stream:
        if line.strip():
            write(line.rstrip())


def _wait(process: subprocess.Popen, stop_when: _Stop) -> str | None:
    """Wait for the end; returns 'timeout' or 'interrupted' when that is what brought it about."""
    until = time.monotonic() + (math.inf if stop_when.timeout is None else stop_when.timeout)
    try:
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(min(POLL_S, left))
                return None
            if stop_when.cancelled.is_set():
                return "interrupted"
            stop_when.check()
        return "timeout"
    except KeyboardInterrupt:
        return "interrupted"
    finally:
        stop(process)


def stop(process: subprocess.Popen, patience: float = PATIENCE_S) -> None:
    """SIGINT to the group; after `patience` seconds SIGKILL to it and to every process it has started."""
    if process.poll() is not None:
        return
    family = psutil.Process(process.pid).children(recursive=True)  # the kernel leads a group of its own
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(patience)
    except subprocess.TimeoutExpired:
        pass
    finally:  # a second Ctrl-C comes here at once
        for member in [*family, process]:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        process.wait()
        psutil.wait_procs(family, patience)


def _repair(output: Path, notebook: Path) -> None:
    """An executed notebook that was cut off while it was saved gives way to the bare notebook."""
    try:
        nbformat.read(output, as_version=4)
    except (FileNotFoundError, nbformat.reader.NotJSONError):
        nbformat.write(nbformat.read(notebook, as_version=4), output)


def _place(html: Path, page: Path) -> tuple[int, str]:
    """Put the page where it belongs; returns the exit status that this comes to, and a complaint."""
    try:
        save_whole(page, partial(shutil.copyfile, html))
    except WorkbookError as error:
        return NO_PAGE, str(error)
    return 0, ""


def _verdict(ended_by: str | None, exit_status: int, path: Path, complaint: str) -> tuple[str, str | None, int | None]:
    """Status, error and cell. Only the exit status tells the truth: papermill marks the cell of a dead
    kernel, and all after it, as completed."""
    if exit_status == 0:
        return "ok", None, None
    if exit_status == NO_PAGE:
        return "failed", _one_line(f"its page could not be written: {complaint}"), None
    executed = nbformat.read(path, as_version=4)
    started = [cell.execution_count for cell in executed.cells if cell.get("execution_count")]
    last = started[-1] if started else None
    if ended_by == "timeout":
        return "timeout", "the time limit was reached", last
    if ended_by == "interrupted":
        return "interrupted", "stopped by the user", last
    if exit_status == DEAD_KERNEL:
        return "died", _cause_of_death(executed.metadata.papermill.get("kernel_exit")), last
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return "failed", _one_line(f"{output.ename}: {output.evalue}"), cell.execution_count
    return "failed", _one_line(complaint) or f"papermill ended with exit status {exit_status}", last


def _cause_of_death(kernel_exit: int | None) -> str:
    if kernel_exit is None or kernel_exit >= 0:
        return f"the kernel died (exit status {kernel_exit})"
    hint = ", often out of memory" if -kernel_exit == signal.SIGKILL else ""
    return f"the kernel died (killed by signal {-kernel_exit}{hint})"


def _one_line(text: str, most: int = 300) -> str:
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
    return text if len(text) <= most else text[: most - 1] + "…"
