"""Perform the tasks of a study, those that are not done yet, on a back end: any number of these may work on one store."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from lib.disk.file_claims import STALE_S, FileClaim
from lib.progress import duration
from lib.report.pages.execution_records import Entry, read_entry
from lib.workbook.backends import Backend
from lib.workbook.task import Task, verdict

LOOK_S = 2.0  # between two looks at tasks that another process performs
SPEAK_S = 60.0  # without a line somebody may think that it hangs
LAST_LINES = 5


@dataclass(frozen=True)
class Plan:
    """The tasks of a study: which are done, which are to do, and how long the latter may take."""

    tasks: list[Task]
    done: dict[Task, Entry]
    seconds_each: float | None  # mean of what is recorded of the notebook; None where nothing is

    @property
    def todo(self) -> list[Task]:
        """What is not done, in the order of `tasks`."""
        return [task for task in self.tasks if task not in self.done]

    def estimate(self, slots: int) -> str:
        """'about 12 min 30 s on 2 workers', or why there is no estimate."""
        if not self.todo:
            return "nothing to do"
        if self.seconds_each is None:
            return "no estimate: no run of this notebook is recorded yet"
        seconds = self.seconds_each * -(-len(self.todo) // slots)
        return f"about {duration(seconds)} at {slots} at a time ({duration(self.seconds_each)} a run so far)"


def make_plan(tasks: Iterable[Task], runs: Path, force: bool = False) -> Plan:
    """See what of `tasks` is done; `runs` is the folder whose records tell how long one takes."""
    tasks, states = list(tasks), {}
    done = {} if force else {task: entry for task in tasks if (entry := task.done(states))}
    return Plan(tasks, done, _seconds_each(tasks, list(done.values()), runs))


def _seconds_each(tasks: list[Task], done: list[Entry], runs: Path) -> float | None:
    """The mean duration of what is done, else of every recorded run of the same notebook."""
    names = {task.executed.stem for task in tasks}
    others = () if done else (read_entry(path) for name in names for path in runs.glob(f"*/{name}.json"))
    seconds = [entry.duration for entry in (*done, *others) if entry and entry.status == "ok"]
    return sum(seconds) / len(seconds) if seconds else None


@dataclass
class Sweep:
    """The work on a plan. `report` gets a line whenever a run ends, and at least every minute; `entries` the records."""

    plan: Plan
    backend: Backend
    report: Callable[[str], object]
    entries: dict[Task, Entry]
    how: dict[str, Any] = field(default_factory=dict)  # of lib.workbook.task.perform

    def run(self) -> None:
        """Perform what is to do. In the end `entries` has every task."""
        self.began = self.spoke = time.monotonic()
        self.todo = deque((task, 0.0) for task in self.plan.todo)
        self.flying: dict[Future, Task] = {}
        self.elsewhere: dict[Task, FileClaim] = {}  # another process performs them
        self.failed = sum(entry.status != "ok" for entry in self.entries.values())  # of what was there before
        self.begun: set[Task] = set()  # of what is flying: seen to be performed
        while self.todo or self.flying or self.elsewhere:
            self._submit()
            ended = self._pause()
            finished = [(self.flying.pop(future), future) for future in ended]
            self._submit()  # first, so that no slot waits for what is printed
            for task, future in finished:
                self._take(task, future)
            if not ended:
                self._look_elsewhere()
            if time.monotonic() - self.spoke >= SPEAK_S:
                self._say("")

    def _submit(self) -> None:
        while self.todo and len(self.flying) < self.backend.slots:
            task, patience = self.todo.popleft()
            self.flying[self.backend.submit(task, patience=patience, **self.how)] = task

    def _pause(self) -> set[Future]:
        """Those of the flying that have ended, after LOOK_S at the latest."""
        if self.flying:
            return wait(self.flying, timeout=LOOK_S, return_when=FIRST_COMPLETED).done
        time.sleep(LOOK_S)  # `wait` does not wait for nothing
        return set()

    def _take(self, task: Task, future: Future) -> None:
        try:
            entry = future.result()
        except Exception as error:  # a node that was lost, a disk that is full: this run's trouble, not the study's
            finished = datetime.now().astimezone().isoformat(timespec="seconds")
            entry = Entry("died", 0.0, finished, task.job.parameters, f"{type(error).__name__}: {error}")
        if entry is None:
            self.elsewhere[task] = FileClaim(task.executed)
        else:
            self._enter(task, entry)

    def _look_elsewhere(self) -> None:
        for task, claim in list(self.elsewhere.items()):
            if entry := task.done():
                self._enter(task, entry, " (by another process)")
            elif claim.is_free():  # it failed there, or its process died: ours may have to see that for itself
                self.todo.append((task, 2 * STALE_S))
            else:
                continue
            del self.elsewhere[task]

    def _enter(self, task: Task, entry: Entry, by: str = "") -> None:
        self.entries[task] = entry
        self.failed += entry.status != "ok"
        self._say(f" {task.name}: {verdict(entry)}{by}")
        if entry.status != "ok":
            for line in last_lines(task):
                self.report(f"    {line}")

    def _say(self, what: str) -> None:
        self.spoke = time.monotonic()
        self.report(f"{len(self.entries)}/{len(self.plan.tasks)}{what} | {self._status()}")

    def _status(self) -> str:
        running = self._running()
        queued = len(self.flying) + len(self.elsewhere) - running
        fresh, left = len(self.entries) - len(self.plan.done), len(self.plan.tasks) - len(self.entries)
        counts = [f"{running} running", f"{queued} queued" * bool(queued), f"{self.failed} failed"]
        if fresh:
            counts.append(f"{duration(left * (time.monotonic() - self.began) / fresh)} left")
        return ", ".join(filter(None, counts))

    def _running(self) -> int:
        """How many are being performed: on a back end with a queue of its own, those that somebody has claimed."""
        flying = set(self.flying.values())
        if self.backend.queues:
            self.begun |= {task for task in flying - self.begun if not FileClaim(task.executed).is_free()}
            flying &= self.begun
        return len(flying) + len(self.elsewhere)


def last_lines(task: Task) -> Sequence[str]:
    """The end of what a run printed."""
    try:
        return task.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    except OSError:
        return []
