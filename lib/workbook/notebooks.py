"""Execute numbered notebooks one after the other, and keep the report's index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib.report.overview import write_index
from lib.workbook.plan import Job, number
from lib.workbook.task import notebook_task, perform, tell


def run(jobs: Sequence[Job], report: Path, force: bool = False, timeout: float | None = None) -> int:
    """Execute those of `jobs` whose results do not stand, in order; returns 0 when all are ok, else 1.

    Raises:
        KeyboardInterrupt: the user stopped a notebook; its partial output is in the report.
    """
    statuses = []
    for job in jobs:
        name, task = number(job.notebook), notebook_task(job, report)
        print(f"{name} | {job.notebook.stem}", flush=True)
        if not force and task.done():
            print(f"{name} | nothing has changed: not executed again (--force does)", flush=True)
            statuses.append("ok")
            continue
        entry = perform(task, force=True, timeout=timeout, watched=True)
        while entry is None:  # taken over while this process slept: the other's results will do
            entry = perform(task, timeout=timeout, watched=True)
        write_index(report)
        print(f"{name} | {tell(entry)}", flush=True)
        if entry.status == "interrupted":
            raise KeyboardInterrupt
        statuses.append(entry.status)
    print(f"{statuses.count('ok')} of {len(statuses)} notebooks ok: {write_index(report)}")
    return 0 if set(statuses) == {"ok"} else 1
