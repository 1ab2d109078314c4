"""Run one notebook in a process of its own, and tell how it ended."""

import contextlib
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

import nbformat
import psutil
from ipykernel.kernelspec import write_kernel_spec

from lib.errors import WorkbookError, printable
from lib.files import save_whole, told
from lib.inputs import NOTES, states
from lib.paths import ROOT
from lib.progress import HEADLESS
from lib.report.pages.execution_records import Entry
from lib.workbook.notebook_source import imports_lib
from lib.workbook.warm import PACKAGES, TOOLS, preload, start

DEAD_KERNEL = 138  # the exit status that papermill's command line has for it
NO_PAGE = 3  # the notebook ran, but its page could not be written
PATIENCE_S = 30.0  # a cancelled notebook may save what it has
POLL_S = 0.2


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
) -> Entry:
    """Run `notebook` with `parameters` and write it with its outputs to `executed`, whatever happens, and to `page`.

    Returns the record of it, but for the digest of the code.

    The kernel is the running interpreter, in the repository's root, with `environment` on top of ours. What the
    notebook prints appears in `log`, or on stdout behind the notebook's number. Ctrl-C, `cancelled` (from another
    thread) and the timeout [s, of the whole run] keep the outputs so far. `check` is called all the time, and before
    anything is written; what it raises stops the run, and nothing is kept.

    Raises:
        WorkbookError: `executed` cannot be written.
    """
    began = time.monotonic()

    def stop_reason() -> str | None:
        if cancelled is not None and cancelled.is_set():
            return "interrupted"
        check()
        return "timeout" if timeout is not None and time.monotonic() - began >= timeout else None

    with _private_folder() as private:
        output, html = private / executed.name, private / "page.html"
        spec = {"notebook": str(notebook), "output": str(output), "page": str(html)}
        spec["parameters"] = dict(parameters)
        surroundings = {**_environment(private), **(environment or {})}
        preload(PACKAGES if imports_lib(notebook) else TOOLS)  # PyTorch and the others take ten seconds
        print_line = partial(_print_line, log, notebook.stem.split("_")[0])
        ended_by, exit_status, complaint = _run(spec, surroundings, print_line, stop_reason)
        inputs = states(private / "inputs")
        kept = output if _is_whole(output) else notebook
        check()
        _copy(kept, executed)
        if exit_status == 0:
            try:
                _copy(html, page)
            except WorkbookError as error:
                exit_status, complaint = NO_PAGE, str(error)
    status, error, cell = _verdict(ended_by, exit_status, executed, complaint)
    finished = datetime.now().astimezone().isoformat(timespec="seconds")
    return Entry(status, time.monotonic() - began, finished, dict(parameters), error, cell, inputs=inputs)


def _run(
    spec: dict, environment: dict[str, str], print_line: Callable[[str], None], stop_reason: Callable[[], str | None]
) -> tuple[str | None, int, str]:
    """Run the child; returns what ended it, where we did, its exit status, and the last line of its stderr."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile("w+") as stderr, open(reading, encoding="utf-8", errors="replace") as stdout:
        # In a session of its own: a Ctrl-C in the terminal comes to us, and we pass it on.
        process = start("lib.workbook.kernel_process", spec, environment, ROOT, writing, stderr.fileno())
        os.close(writing)
        thread = Thread(target=_relay, args=(stdout, print_line), daemon=True)
        thread.start()
        ended_by = _wait(process, stop_reason)
        thread.join(timeout=5)
        stderr.seek(0)
        return ended_by, process.exitcode, stderr.read().strip().rpartition("\n")[2]


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder for this attempt alone, so that no other one's is ever touched."""
    where = Path(os.environ.get("TMPDIR", "/tmp")) / "workbook-…"
    with told(where), tempfile.TemporaryDirectory(prefix="workbook-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


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


def _print_line(log: IO[str] | None, number: str, line: str) -> None:
    print(f"{number} | {line}" if log is None else line, file=log, flush=True)


def _relay(stream: IO[str], print_line: Callable[[str], None]) -> None:
    for line in stream:
        if line.strip():
            with contextlib.suppress(OSError):  # a full disk: who prints would wait for ever where nobody reads
                print_line(line.rstrip())


def _wait(process: BaseProcess, stop_reason: Callable[[], str | None]) -> str | None:
    """Wait for the end; returns 'timeout' or 'interrupted' when that is what brought it about."""
    try:
        while (reason := stop_reason()) is None:
            process.join(POLL_S)
            if process.exitcode is not None:
                return None
        return reason
    except KeyboardInterrupt:
        return "interrupted"
    finally:
        stop(process)


def stop(process: BaseProcess, patience: float = PATIENCE_S) -> None:
    """SIGINT to the group; after `patience` seconds SIGKILL to it and to every process it has started."""
    if process.exitcode is not None:
        return
    family = psutil.Process(process.pid).children(recursive=True)  # the kernel leads a group of its own
    try:
        with contextlib.suppress(ProcessLookupError):  # it has ended, or has not got a group yet
            os.killpg(process.pid, signal.SIGINT)
        process.join(patience)
    finally:  # a second Ctrl-C comes here at once
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.kill()
        process.join()
        psutil.wait_procs(family, patience)


def _is_whole(output: Path) -> bool:
    """Whether an executed notebook can be read; one that was cut off while it was saved gives way to the bare notebook."""
    try:
        nbformat.read(output, as_version=4)
    except (FileNotFoundError, nbformat.reader.NotJSONError):
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    save_whole(target, partial(shutil.copyfile, source), source.stat().st_size)


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
        return "died", _cause_of_death(**executed.metadata.get("papermill", {})), last
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return "failed", _one_line(f"{output.ename}: {output.evalue}"), cell.execution_count
    return "failed", _one_line(complaint) or f"papermill ended with exit status {exit_status}", last


def _cause_of_death(kernel_exit: int | None = None, kernel_peak_bytes: int | None = None, **other: object) -> str:
    memory = f"; it had taken up to {kernel_peak_bytes / 2**30:.2f} GiB of memory" if kernel_peak_bytes else ""
    if kernel_exit is None or kernel_exit >= 0:
        return f"the kernel died (exit status {kernel_exit}{memory})"
    hint = ", often out of memory" if -kernel_exit == signal.SIGKILL else ""
    return f"the kernel died (killed by signal {-kernel_exit}{hint}{memory})"


def _one_line(text: str, most: int = 300) -> str:
    text = printable(" ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split()))
    return text if len(text) <= most else text[: most - 1] + "…"
