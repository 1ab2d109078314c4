"""A task is performed once, until something that it rests on changes."""

import json
import os
import re
from datetime import datetime
from pathlib import Path

import pytest

from lib.disk.file_claims import FileClaim
from lib.errors import WorkbookError
from lib.report.pages.execution_records import Entry, read_entry, write_entry
from lib.workbook import execute as execute_file
from lib.workbook import task as task_file
from lib.workbook.plan import Job
from lib.workbook.task import notebook_task, perform, run_name, run_task

PARAMETERS = "x: int = 3\nseed: int = 0\noutput_dir: str = 'outputs'\ndata_root: str | None = None"


@pytest.fixture
def job(notebook, tmp_path):
    source = "from lib.data import splits\nprint(x)"
    path = notebook(tmp_path / "04_a.ipynb", "#! # A title", source, "%matplotlib inline", parameters=PARAMETERS)
    return Job(path, {"x": 3, "seed": 0, "output_dir": "o", "data_root": None})


@pytest.fixture
def executions(monkeypatch):
    """Instead of being executed, notebooks are counted, and leave what an execution leaves."""
    found = []

    def execute(notebook, executed, page, parameters, **how):
        found.append(parameters)
        executed.write_bytes(notebook.read_bytes())
        page.write_text("page")
        return Entry("ok", 1.5, "2026-01-01T00:00:00", parameters, inputs={str(notebook.parent / "data"): "absent"})

    monkeypatch.setattr(task_file, "execute", execute)
    return found


def entry(task, **changes):
    told = {
        "status": "ok",
        "duration": 1.0,
        "finished": datetime.now().isoformat(),
        "parameters": {},
        "code": task.code,
    }
    return Entry(**(told | changes))


def test_a_task_that_is_done_is_not_performed_again(job, executions, tmp_path):
    task = run_task(job, tmp_path / "report")
    assert task.done() is None
    first = perform(task)
    assert first.duration == 1.5
    assert perform(task) == first == task.done() == read_entry(task.executed)
    assert len(executions) == 1
    perform(task, force=True)
    assert len(executions) == 2


def test_what_a_task_rests_on(job, executions, tmp_path, notebook):
    def is_done(**changes):
        return run_task(Job(job.notebook, job.parameters | changes), tmp_path / "report").done() is not None

    perform(run_task(job, tmp_path / "report"))
    assert is_done()
    assert is_done(output_dir="elsewhere")
    assert not is_done(x=4)
    (tmp_path / "data").touch()  # that was noted as absent
    assert not is_done()
    (tmp_path / "data").unlink()
    assert is_done()
    cells = ("from lib.data import splits\nprint(x)", "%matplotlib inline")
    notebook(job.notebook, "#! # Another title", *cells, parameters=PARAMETERS)
    os.utime(job.notebook, (1, 1))
    assert not is_done()


def test_the_imported_code_counts_and_other_code_does_not(job, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(task_file, "code_digest", lambda modules, *more: seen.append(set(modules)) or "d")
    os.utime(job.notebook, (2, 2))
    task_file.digest(job)
    assert seen == [{"lib", "lib.data", "lib.data.splits"}]


@pytest.mark.parametrize("change", [{"status": "failed"}, {"code": "other"}, {"inputs": {"/nowhere": "3 bytes, 4"}}])
def test_an_entry_that_does_not_stand(job, tmp_path, change):
    task = notebook_task(job, tmp_path)
    task.page.parent.mkdir(exist_ok=True)
    task.page.touch()
    write_entry(task.executed, entry(task))
    assert task.done()
    write_entry(task.executed, entry(task, **change))
    assert task.done() is None
    write_entry(task.executed, entry(task))
    task.page.unlink()
    assert task.done() is None


def test_another_process_at_it_is_left_alone(job, executions, tmp_path):
    task = run_task(job, tmp_path)
    claim = FileClaim(task.executed)
    assert claim.acquire()
    assert perform(task, patience=0) is None
    assert executions == []
    claim.release()
    assert perform(task, patience=0).status == "ok"


def test_a_failure_is_recorded_and_tried_again(job, tmp_path, monkeypatch):
    def execute(notebook, executed, page, parameters, **how):
        executed.write_bytes(notebook.read_bytes())
        return Entry("died", 2.0, "now", parameters, "the kernel died", 3)

    monkeypatch.setattr(task_file, "execute", execute)
    task = run_task(job, tmp_path)
    assert task_file.verdict(perform(task)) == "died in cell [3] after 2 s: the kernel died"
    assert "the kernel died" in task.page.read_text()
    assert task.done() is None


@pytest.mark.parametrize(("by", "stands"), [("another", False), ("itself", True)])
def test_a_run_that_appears_during_the_execution(notebook, tmp_path, by, stands):
    """The page was made without it; next time it must not be said that nothing has changed."""
    run = tmp_path / "metrics.json"
    source = f"from lib.inputs import note, wrote\nnote({str(run)!r})\nopen({str(run)!r}, 'w').close()"
    source += f"\nwrote({str(run)!r})" * (by == "itself") + f"\nnote({str(run)!r})"
    task = notebook_task(Job(notebook(tmp_path / "04_a.ipynb", source), {"x": 3}), tmp_path / "report")
    assert perform(task).status == "ok"
    assert (task.done() is not None) is stands


def test_who_was_taken_over_keeps_nothing(job, executions, tmp_path, monkeypatch):
    """It slept for longer than its claim lives: the other's results and record stay as they are."""
    task = run_task(job, tmp_path)
    before = task_file.execute

    def execute(*args, check, **how):
        check()
        result = before(*args, **how)
        FileClaim(task.executed)._file(2).write_text('{"host": "other", "pid": 7}')
        write_entry(task.executed, entry(task, duration=9.0))
        return result

    monkeypatch.setattr(task_file, "execute", execute)
    assert perform(task) is None
    assert read_entry(task.executed).duration == 9.0
    assert json.loads(FileClaim(task.executed)._file(2).read_text()) == {"host": "other", "pid": 7}


def test_the_claim_is_given_back_whatever_happens(job, tmp_path, monkeypatch):
    monkeypatch.setattr(task_file, "execute", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        perform(run_task(job, tmp_path))
    assert FileClaim(run_task(job, tmp_path).executed).is_free()


def test_a_runs_name_tells_what_is_not_default(job):
    name = run_name(Job(job.notebook, job.parameters | {"x": 7, "seed": 2, "data_root": "/some/where"}))
    assert name.startswith("04-7-s2-")
    assert name != run_name(Job(job.notebook, job.parameters | {"x": 7, "seed": 2}))
    assert "/" not in run_name(Job(job.notebook, job.parameters | {"output_dir": "a/b", "x": "c/d ü*"}))


def test_a_full_disk_is_one_tasks_trouble_told_in_its_record(job, small_disk, monkeypatch):
    """The notebook, then its page; the processes that run notebooks leave them elsewhere, and they are copied."""

    def run(spec, *_):
        Path(spec["output"]).write_bytes(job.notebook.read_bytes() + b" " * 300_000)
        Path(spec["page"]).write_text("x" * 300_000)
        return None, 0, ""

    monkeypatch.setattr(execute_file, "_run", run)
    first, second = (notebook_task(job, small_disk(size) / "report") for size in (200_000, 500_000))
    entry = perform(first)
    assert entry.status == "failed"
    assert re.search(
        r"Cannot write .*04_a\.ipynb: No space left on device: 30\d,\d{3} bytes wanted, [\d,]+ bytes free", entry.error
    )
    assert read_entry(first.executed) == entry
    entry = perform(second)
    assert (entry.status, second.executed.exists()) == ("failed", True)
    assert re.search(
        r"page could not be written: Cannot write .*04_a\.html: No space left .*: 300,000 bytes wanted", entry.error
    )


def test_a_full_disk_for_what_passes_by_is_told_too(job, tmp_path, small_disk, monkeypatch):
    disk = small_disk(100_000)
    small_disk.fill(disk)
    monkeypatch.setattr(execute_file.tempfile, "tempdir", str(disk))
    monkeypatch.setenv("TMPDIR", str(disk))
    entry = perform(notebook_task(job, tmp_path / "report"))
    assert entry.status == "failed"
    assert re.search(r"Cannot write .*small/workbook-…: No space left on device", entry.error)


def test_a_record_that_cannot_be_written_does_not_end_the_others(job, tmp_path, executions, monkeypatch):
    def full(*_):
        raise WorkbookError("Cannot write it: No space left")

    monkeypatch.setattr(task_file, "write_entry", full)
    entry = perform(notebook_task(job, tmp_path / "report"))
    assert entry.status == "failed"
    assert "its record could not be written: Cannot write it" in entry.error
