"""One notebook with its parameters, to be executed once: skipped while nothing it rests on has changed."""

import math
import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from threading import Event
from typing import Any

from lib.code_digest import code_digest, imports
from lib.disk.file_claims import FileClaim, FileClaimLost
from lib.errors import WorkbookError
from lib.inputs import state
from lib.progress import duration
from lib.report.pages.execution_records import Entry, read_entry, write_entry
from lib.report.pages.notebook_page import export_html
from lib.workbook.execute import execute
from lib.workbook.notebook_source import python, read_source
from lib.workbook.parameters import PLACES, hash_of, read_parameters
from lib.workbook.plan import Job, number

# Parameters that a run's readable name leaves to its hash, or says otherwise.
UNNAMED = ("seed", "data_root", "profile")


@dataclass(frozen=True, eq=False)  # a plan has each task once, so it may be a key by its identity
class Task:
    """A job, where its results go, and a digest of the code and parameters that they rest on."""

    job: Job
    executed: Path
    page: Path
    code: str

    @property
    def name(self) -> str:
        """The name of a run's folder, or of a notebook."""
        return self.page.parent.name if self.page.name == "index.html" else self.executed.stem

    @property
    def log(self) -> Path:
        """What the notebook printed, where nobody watched."""
        return self.executed.with_suffix(".log")

    def done(self, states: dict[str, str] | None = None) -> Entry | None:
        """The record of an execution that still stands; None when the notebook must be executed.

        `states` remembers the state of files, for a plan that looks at the same ones many times.
        """
        entry, known = read_entry(self.executed), {} if states is None else states
        if not entry or entry.status != "ok" or entry.code != self.code or not self.page.exists():
            return None
        for path, then in entry.inputs.items():
            if path not in known:
                known[path] = state(path)
            if known[path] != then:
                return None
        return entry


def notebook_task(job: Job, report: Path) -> Task:
    """A numbered notebook of the workbook: its page stands beside the index."""
    stem = job.notebook.stem
    return Task(job, report / "notebooks" / f"{stem}.ipynb", report / f"{stem}.html", digest(job))


def run_task(job: Job, report: Path) -> Task:
    """One run of a study: a folder of its own, named by the parameters that are not the notebook's defaults."""
    folder = report / "runs" / run_name(job)
    return Task(job, folder / job.notebook.name, folder / "index.html", digest(job))


def run_name(job: Job) -> str:
    """'02-resnet34-none-s1-1a2b3c4d': readable, and unique by a hash of all parameters."""
    content, defaults = _content(job), _defaults(job.notebook)
    named = [value for name, value in content.items() if value != defaults[name] and name not in UNNAMED]
    words = [str(value) for value in named if not isinstance(value, bool)]
    words += [f"s{content['seed']}"] if "seed" in content else []
    readable = re.sub(r"[^\w.-]+", "_", "-".join(words))[:80]
    return f"{number(job.notebook)}-{readable}-{hash_of(job.notebook.stem, content)[:8]}"


def digest(job: Job) -> str:
    """What the results of `job` rest on: the notebook, the parts of `lib` that it imports, the parameters."""
    return hash_of(_code(job.notebook, job.notebook.stat().st_mtime_ns), _content(job))


def perform(
    task: Task,
    *,
    force: bool = False,
    patience: float = math.inf,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
    cancelled: Event | None = None,
    watched: bool = False,
) -> Entry | None:
    """Execute `task` unless its results stand, and keep the record; None when another process holds it for longer
    than `patience` [s], or has taken it over because this one gave no sign of life. What the notebook prints goes to
    the task's log or, if `watched`, to stdout, where we say how it goes, too.

    Raises:
        OSError, WorkbookError: its folder cannot be written, and nothing was executed.
    """
    claim, say = FileClaim(task.executed), partial(_say, task) if watched else lambda what: None
    say(task.job.notebook.stem)
    if not claim.wait(lambda owner: print(f"waiting for {owner}, which executes {task.name}", flush=True), patience):
        return None
    try:
        if not force and (entry := task.done()):
            say("nothing has changed: not executed again (--force does)")
            return entry
        with nullcontext() if watched else open(task.log, "w", encoding="utf-8") as log:
            how = {"timeout": timeout, "environment": environment, "cancelled": cancelled, "log": log}
            entry = _executed(task, check=claim.check, **how)
        claim.check()
        entry = _keep(task, entry)
        say(verdict(entry))
        return entry
    except FileClaimLost as lost:
        print(lost, flush=True)
        return None
    finally:
        claim.release()


def _executed(task: Task, **how: Any) -> Entry:
    """`execute`; what cannot be written, as on a full disk, is this task's trouble and no other's."""
    began = datetime.now().astimezone()
    try:
        return execute(task.job.notebook, task.executed, task.page, task.job.parameters, **how)
    except FileClaimLost:
        raise
    except WorkbookError as error:
        ended = datetime.now().astimezone()
        seconds, finished = (ended - began).total_seconds(), ended.isoformat(timespec="seconds")
        return Entry("failed", seconds, finished, dict(task.job.parameters), " ".join(str(error).split()))


def _say(task: Task, what: str) -> None:
    print(f"{number(task.job.notebook)} | {what}", flush=True)


def _keep(task: Task, entry: Entry) -> Entry:
    """Record how the execution ended; where it ended badly, its page says so. A page that cannot be written must not
    stop a night's other runs."""
    entry = replace(entry, code=task.code)
    try:
        if entry.status != "ok" and task.executed.exists():
            export_html(task.executed, task.page, verdict(entry))
    except Exception as error:
        entry = replace(entry, error=f"{entry.error}; its page could not be written: {error}")
    try:
        write_entry(task.executed, entry)
    except WorkbookError as error:
        entry = replace(
            entry, status="failed", error=f"{entry.error or 'it ran'}; its record could not be written: {error}"
        )
    return entry


def verdict(entry: Entry) -> str:
    """'failed in cell [4] after 41 s: ValueError: …'"""
    where = f" in cell [{entry.cell}]" if entry.cell else ""
    what = f": {entry.error}" if entry.error else ""
    return f"{entry.status}{where} after {duration(entry.duration)}{what}"


def _content(job: Job) -> dict[str, Any]:
    return {name: value for name, value in job.parameters.items() if name not in PLACES}


@cache
def _defaults(notebook: Path) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in read_parameters(notebook).items()}


@cache
def _code(notebook: Path, changed: int) -> str:
    """A digest of a notebook's cells and of the modules that they import; `changed` makes an edited one a new one."""
    cells = read_source(notebook).cells
    modules = [name for cell in cells if cell.cell_type == "code" for name in _imports(cell.source)]
    return code_digest(modules, *(f"{cell.cell_type} {cell.source}" for cell in cells))


def _imports(source: str) -> list[str]:
    try:
        return imports(python(source))
    except SyntaxError:  # the notebook will say so itself
        return []
