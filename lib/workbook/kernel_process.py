"""The process that runs one notebook and writes its page.

Papermill's own command line cannot say which signal ended a kernel, so this speaks to its API instead.
The exit status is 0 when every cell ran, DEAD_KERNEL when the kernel died, NO_PAGE when only the page could not be
written, and 1 otherwise. What the notebook prints goes to stdout as it is printed. The process ends with the one
that started it, however and however soon that ends, and the kernel with this one: nothing goes on computing unattended.
"""

import logging
import os
import resource
import shutil
import sys
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing import parent_process
from pathlib import Path

from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook

from lib.errors import WorkbookError
from lib.files import told
from lib.workbook.execute import DEAD_KERNEL, NO_PAGE
from lib.workbook.warm_kernel import kernel_at_hand

START_S = 600  # for a kernel to come up: a minute, papermill's, is too short on a busy machine
AUTOSAVE_S = 2  # what a killed run keeps of its running cell


class _Client(PapermillNotebookClient):
    """Leaves the exit status and the peak memory of a dead kernel in the notebook's metadata."""

    def papermill_execute_cells(self) -> None:
        try:
            super().papermill_execute_cells()
        except DeadKernelError:
            self.nb.metadata.papermill["kernel_exit"] = self.km.provisioner.process.returncode
            self.nb.metadata.papermill["kernel_peak_bytes"] = _peak_memory()
            raise


def _peak_memory() -> int:
    """The most memory in bytes that a process which we have started and seen end has had: the kernel's, the only one."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, start_timeout=60, stdout_file=None, **unused) -> None:
        client = _Client(nb_man, kernel_name=kernel_name, startup_timeout=start_timeout, stdout_file=stdout_file)
        client.store_widget_state = False  # grows without bound (ipywidgets#1970), and the report has no use for it
        _save_before_code_only(nb_man)
        client.execute()


def _save_before_code_only(nb_man: NotebookExecutionManager) -> None:
    """Papermill writes the whole notebook, with every figure so far, at the start and at the end of each cell. What stands there
    when a cell of code starts is as much, in a quarter of the times; the end of the last one is the notebook's own."""
    start, complete = nb_man.cell_start, nb_man.cell_complete

    def unsaved(method: Callable[..., None], cell: NotebookNode, cell_index: int) -> None:
        nb_man.save = lambda: None
        try:
            method(cell, cell_index)
        finally:
            del nb_man.save  # the method of its class shows again

    def started(cell: NotebookNode, cell_index: int) -> None:
        start(cell, cell_index) if cell.cell_type == "code" else unsaved(start, cell, cell_index)

    nb_man.cell_start, nb_man.cell_complete = started, partial(unsaved, complete)


def main(spec: dict) -> int:
    """Run `spec["notebook"]` with `spec["parameters"]` into `spec["output"]`; returns the exit status.

    When all went well its page is written to `spec["page"]`.
    """
    with kernel_at_hand():
        threading.Thread(target=_end_with_parent, args=(Path(spec["output"]).parent,), daemon=True).start()
        logging.basicConfig(level=logging.ERROR, format="%(message)s")
        exit_status = _execute(spec)
    return exit_status or _write_page(Path(spec["output"]), Path(spec["page"]))


def _execute(spec: dict) -> int:
    papermill_engines.register("workbook", _Engine)
    try:
        with told(Path(spec["output"])):
            execute_notebook(
                _as_it_is(spec["notebook"]),
                _as_it_is(spec["output"]),
                spec["parameters"],
                engine_name="workbook",
                kernel_name="python3",
                language="python",
                progress_bar=False,
                stdout_file=sys.stdout,
                autosave_cell_every=AUTOSAVE_S,
                start_timeout=START_S,
            )
    except WorkbookError as error:
        print(error, file=sys.stderr)
        return 1
    except DeadKernelError:
        return DEAD_KERNEL
    except PapermillExecutionError:
        return 1  # told in the notebook
    return 0


def _as_it_is(path: str) -> str:
    """`path` for papermill, which would fill in parameters for names in braces."""
    return path.replace("{", "{{").replace("}", "}}")


def _write_page(executed: Path, page: Path) -> int:
    from lib.report.pages.notebook_page import export_html  # only now: it takes a second to import

    try:
        export_html(executed, page)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return NO_PAGE
    return 0


def _end_with_parent(private: Path) -> None:
    """End with the process that wants this done; `private` is this attempt's folder, which nobody else removes then."""
    parent_process().join()
    shutil.rmtree(private, ignore_errors=True)
    os._exit(1)
