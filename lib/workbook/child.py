"""The process that runs one notebook: `python -m lib.workbook.child SPEC`, SPEC being JSON.

Papermill's own command line cannot say which signal ended a kernel, so this speaks to its API instead.
The exit status is 0 when every cell ran, DEAD_KERNEL when the kernel died, and 1 otherwise. What the
notebook prints goes to stdout as it is printed.
"""

from __future__ import annotations

import json
import logging
import sys

from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook

from lib.workbook.execute import DEAD_KERNEL

AUTOSAVE_S = 2  # what a killed run keeps of its running cell


class _Client(PapermillNotebookClient):
    """Leaves the exit status of a dead kernel in the notebook's metadata."""

    def papermill_execute_cells(self) -> None:
        try:
            super().papermill_execute_cells()
        except DeadKernelError:
            self.nb.metadata.papermill["kernel_exit"] = self.km.provisioner.process.returncode
            raise


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, start_timeout=60, stdout_file=None, **unused) -> None:
        client = _Client(nb_man, kernel_name=kernel_name, startup_timeout=start_timeout, stdout_file=stdout_file)
        client.store_widget_state = False  # grows without bound (ipywidgets#1970), and the report has no use for it
        client.execute()


def main(spec: dict) -> int:
    """Run `spec["notebook"]` with `spec["parameters"]` into `spec["output"]`; returns the exit status."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    papermill_engines.register("workbook", _Engine)
    try:
        execute_notebook(
            spec["notebook"],
            spec["output"],
            spec["parameters"],
            engine_name="workbook",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            stdout_file=sys.stdout,
            autosave_cell_every=AUTOSAVE_S,
        )
    except DeadKernelError:
        return DEAD_KERNEL
    except PapermillExecutionError:
        return 1  # told in the notebook
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
