"""Execute numbered notebooks side by side, as far as the machine allows, and keep the report's index."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path
from typing import Any

from lib.errors import WorkbookError
from lib.report.pages.execution_records import Entry
from lib.report.pages.index_page import write_index
from lib.workbook.backends import LocalPool
from lib.workbook.plan import Job, longest_first, predecessors
from lib.workbook.task import Task, notebook_task


def run(
    jobs: Sequence[Job], report: Path, force: bool = False, timeout: float | None = None, workers: int | None = None
) -> int:
    """Execute those of `jobs` whose results do not stand; returns 0 when all are ok, else 1.

    The longest begin first (see `longest_first`), `workers` at a time (default: one a GPU; without one, one a core), but for
    those that wait for another: see `predecessors`.

    Raises:
        KeyboardInterrupt: the user stopped it; the partial output of what ran is in the report.
    """
    statuses: list[str] = []
    tasks = [notebook_task(job, report) for job in longest_first(jobs)]
    try:
        with LocalPool(workers, most=len(tasks)) as pool:
            for entry in _performed(tasks, pool, force=force, timeout=timeout):
                statuses.append(entry.status)
                with contextlib.suppress(WorkbookError):  # a full disk: told at the end, if it is so still
                    write_index(report)
    finally:
        index = write_index(report)
    print(f"{statuses.count('ok')} of {len(statuses)} notebooks ok: {index}")
    return 0 if set(statuses) == {"ok"} else 1


def _performed(tasks: Sequence[Task], pool: LocalPool, **how: Any) -> Iterator[Entry]:
    """The records of `tasks`, each as its execution ends."""
    waits_for = {task: predecessors(task.job.notebook) for task in tasks}
    waiting, flying = list(tasks), {}
    while waiting or flying:
        for task in _ready(waiting, flying.values(), waits_for)[: pool.slots - len(flying)]:
            waiting.remove(task)
            flying[pool.submit(task, watched=True, **how)] = task
        for future in wait(flying, return_when=FIRST_COMPLETED).done:
            task, entry = flying.pop(future), future.result()
            if entry:
                yield entry
            else:  # taken over while this process slept: the other's results will do
                flying[pool.submit(task, watched=True, **how | {"force": False})] = task


def _ready(waiting: Iterable[Task], flying: Iterable[Task], waits_for: Mapping[Task, Sequence[str]]) -> list[Task]:
    """Those of `waiting` of whose predecessors none is before them or flying."""
    ready, ahead = [], {task.job.notebook.stem for task in flying}
    for task in waiting:
        if ahead.isdisjoint(waits_for[task]):
            ready.append(task)
        ahead.add(task.job.notebook.stem)
    return ready
