"""How the work beside the runs grows with their number: planner, claims, records, report and store of a large study.

    python -m benchmarks.workbook.large_study [--runs 10000]     (some minutes; a tenth of them first)

Nothing is trained: a run is performed by writing what a finished one leaves. Each line is the processor time of one part of
the work, for a tenth of the runs and for all of them: ten times as long is what grows with the number of runs alone.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from benchmarks.program import run
from benchmarks.rows import Row, of_turns
from benchmarks.timing import duration
from lib.disk.file_claims import FileClaim
from lib.report.pages.execution_records import Entry, write_entry
from lib.report.pages.index_page import write_index
from lib.report.pages.study_page import StudyRun, write_study
from lib.training import RunConfig, RunStore
from lib.training.fitting import claim_of
from lib.workbook.plan import Job, find_notebooks
from lib.workbook.protocol import grid_protocol
from lib.workbook.sweep import Sweep, make_plan
from lib.workbook.task import Task, run_task

SLOTS = 256
WHOLE, LINEAR = "all of it", 11.0  # ten times the runs may take so many times as long


class Clerks:
    """A back end whose runs are over at once: each is claimed, recorded and released, as `perform` does it."""

    slots, queues = SLOTS, False

    def submit(self, task: Task, **how: Any) -> Future:
        claim = FileClaim(task.executed)
        assert claim.acquire()
        entry = Entry("ok", 60.0, "2026-11-30T12:00:00+00:00", dict(task.job.parameters), code=task.code)
        task.executed.write_text("{}")
        task.page.write_text("")
        write_entry(task.executed, entry)
        claim.release()
        future: Future = Future()
        future.set_result(entry)
        return future


def rows(quick: bool = False, runs: int = 10_000) -> Iterator[Row]:
    runs = 500 if quick else runs
    few, many = (study(number) for number in (runs // 10, runs))
    for part, took in {**many, WHOLE: sum(many.values())}.items():
        of_few = few.get(part, sum(few.values()))
        note = f"{duration(took)} ÷ {duration(of_few)} of processor time"
        wanted = {"at_most": LINEAR} if part == WHOLE else {}
        yield of_turns(f"{part}, {runs:,} runs", f"{runs // 10:,} runs", [took / of_few], note, **wanted)


def study(runs: int) -> dict[str, float]:
    """Seconds of each part of the work on a study of so many runs."""
    taken: dict[str, float] = {}

    def timed(part: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        result = work()
        taken[part] = time.process_time() - began
        return result

    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report"
        notebook = find_notebooks(["02"])[0]
        rates = [f"{(1 + i) * 1e-6:.6g}" for i in range(runs // 10)]
        protocol = grid_protocol(notebook, {"lr": rates, "seed": [*map(str, range(10))]}, {})
        tasks = timed("tasks", lambda: [run_task(Job(notebook, values), report) for values in protocol.runs()])
        timed("settings checked", protocol.check)
        plan = timed("plan of what is to do", lambda: make_plan(tasks, report / "runs"))
        entries: dict[Task, Entry] = {}
        timed("sweep: claims and records", lambda: Sweep(plan, Clerks(), lambda line: None, entries).run())
        assert len(entries) == runs
        plan = timed("plan of what is done", lambda: make_plan(tasks, report / "runs"))
        assert not plan.todo
        shown = [StudyRun(task.name, task.job.parameters, entries[task]) for task in tasks]
        timed("page of the study", lambda: write_study(report, "large", "A large study", shown))
        timed("index", lambda: write_index(report))
        timed("claims of trainings", lambda: [_claimed(store_of(scratch), config) for config in configs(runs)])
        timed("list of the store", lambda: [run.config for run in store_of(scratch)])
    return taken


def store_of(scratch: str) -> RunStore:
    return RunStore(Path(scratch) / "runs")


def configs(runs: int) -> list[RunConfig]:
    return [RunConfig(lr=(1 + i // 10) * 1e-6, seed=i % 10) for i in range(runs)]


def _claimed(store: RunStore, config: RunConfig) -> None:
    """What `fit` does in the store around a training."""
    run = store.run(config)
    claim = claim_of(run)
    assert claim.acquire()
    run.path.mkdir(parents=True)
    (run.path / "config.json").write_text(json.dumps(config.to_dict()))
    claim.release()


if __name__ == "__main__":
    run(rows)
