"""A sweep on a Ray cluster of two nodes on this machine, one of which is lost while it performs a run.

    python -m benchmarks.workbook.lost_node [--runs 8]     (two minutes on two cores)

All runs should be done in the end. Ray is asked for patience: on a busy machine its processes take longer to find each other
than it waits for them, and a raylet whose agents are late ends.
"""

import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from ray.cluster_utils import Cluster

from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from lib.report.pages.execution_records import Entry
from lib.workbook.backends import RayCluster
from lib.workbook.plan import Job
from lib.workbook.sweep import Sweep, make_plan
from lib.workbook.task import Task, run_task

# Ray's own settings, in the environment of all that it starts; those of somebody else stay.
PATIENCE = {
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_gcs_server_request_timeout_seconds": "600",
    "RAY_health_check_initial_delay_ms": "60000",
}
PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
CELLS = ("x: int = 0\nseed: int = 0", "import time; time.sleep(5)")


def rows(quick: bool = False, runs: int = 8) -> Iterator[Row]:
    runs = 4 if quick else runs
    with tempfile.TemporaryDirectory() as scratch:
        notebook, report = Path(scratch) / "04_sleep.ipynb", Path(scratch) / "report"
        cells = [new_code_cell(CELLS[0], metadata={"tags": ["parameters"]}), new_code_cell(CELLS[1])]
        nbformat.write(new_notebook(cells=cells), notebook)
        tasks = [run_task(Job(notebook, {"x": x, "seed": 0}), report) for x in range(runs)]
        os.environ.update({name: value for name, value in PATIENCE.items() if name not in os.environ})
        cluster = Cluster(initialize_head=True, head_node_args=node(cpus=0))
        try:
            nodes = [cluster.add_node(**node(cpus=1)) for _ in range(2)]
            cluster.wait_for_nodes()
            entries = sweep(tasks, cluster, lambda: cluster.remove_node(nodes[1], allow_graceful=False))
        finally:
            cluster.shutdown()
    done = sum(entry.status == "ok" for entry in entries.values())
    for task, entry in entries.items():
        if entry.status != "ok":
            print(f"{task.name}: {entry.status}: {entry.error}", file=sys.stderr)
    yield of_counts("runs that are done, one of two nodes lost", "all", done, runs, at_least=1.0)


def node(cpus: int) -> dict[str, int | bool]:
    """A node's settings. Its agents' ports are chosen here: else the raylet waits for the agents to tell theirs, 15 s."""
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.create_server(("", 0))) for _ in PORTS]
        ports = dict(zip(PORTS, (each.getsockname()[1] for each in sockets), strict=True))
    return {"num_cpus": cpus, "object_store_memory": 80 * 2**20, "include_dashboard": False, **ports}


def sweep(tasks: list[Task], cluster: Cluster, lose: Callable[[], object]) -> dict[Task, Entry]:
    """Perform `tasks`; when the first is done and two are at work again, a node is lost."""
    entries: dict[Task, Entry] = {}

    def watch() -> None:
        while not entries:
            time.sleep(0.2)
        time.sleep(2)  # into a run
        print(f"a node is lost after {len(entries)} runs", file=sys.stderr, flush=True)
        lose()

    threading.Thread(target=watch, daemon=True).start()
    with RayCluster(address=cluster.address) as place:
        Sweep(
            make_plan(tasks, tasks[0].page.parents[1]),
            place,
            lambda line: print(line, file=sys.stderr, flush=True),
            entries,
        ).run()
    return entries


if __name__ == "__main__":
    run(rows)
