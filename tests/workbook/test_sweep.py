"""A study is performed once, by however many; what is killed on the way is test_soak's matter."""

import subprocess
import sys
from concurrent.futures import Future
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from lib.disk.file_claims import FileClaim
from lib.errors import WorkbookError
from lib.paths import ROOT
from lib.report.pages.execution_records import Entry, read_entry, write_entry
from lib.workbook.commandline import main
from lib.workbook.plan import Job
from lib.workbook.sweep import Sweep, make_plan
from lib.workbook.task import run_task

PARAMETERS = "x: int = 3\nseed: int = 0\noutput_dir: str = 'outputs'"


@pytest.fixture
def tasks(notebook, tmp_path):
    path = notebook(tmp_path / "04_a.ipynb", "print('x is', x)", parameters=PARAMETERS)
    return [run_task(Job(path, {"x": x, "seed": 0}), tmp_path / "report") for x in range(4)]


class Pretend:
    """A back end that answers at once what `answer` says; what it was given is in `given`."""

    def __init__(self, answer, slots=2, queues=False):
        self.answer, self.slots, self.queues, self.given = answer, slots, queues, []

    def submit(self, task, **how):
        self.given.append((task, how))
        future = Future()
        answer = self.answer(task)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future


def ended(task, status="ok", seconds=2.0):
    return Entry(status, seconds, "2026-01-01T00:00:00", {}, None if status == "ok" else "it broke", code=task.code)


def performed(tasks, backend, tmp_path, force=False):
    """The entries of a sweep, and what it told."""
    told, entries = [], {}
    found = make_plan(tasks, tmp_path / "report" / "runs", force)
    entries |= found.done
    Sweep(found, backend, told.append, entries, {"timeout": 9}).run()
    return entries, told


def finish(task):
    task.page.parent.mkdir(parents=True, exist_ok=True)
    task.page.touch()
    write_entry(task.executed, ended(task))


def test_what_is_done_is_not_performed_again(tasks, tmp_path):
    finish(tasks[1])
    backend = Pretend(ended)
    entries, told = performed(tasks, backend, tmp_path)
    assert [task for task, _ in backend.given] == [tasks[0], tasks[2], tasks[3]]
    assert backend.given[0][1] == {"patience": 0.0, "timeout": 9}
    assert set(entries) == set(tasks)
    assert told[-1].startswith(f"4/4 {tasks[3].name}: ok after 2 s | 0 running, 0 failed, 0 s left")
    backend = Pretend(ended)
    performed(tasks, backend, tmp_path, force=True)
    assert len(backend.given) == 4


def test_a_failed_run_is_told_with_its_last_lines_and_stops_nothing(tasks, tmp_path):
    tasks[0].log.parent.mkdir(parents=True)
    tasks[0].log.write_text("".join(f"line {i}\n" for i in range(9)))
    answers = {tasks[0]: ended(tasks[0], "failed"), tasks[1]: OSError("the node is gone")}
    entries, told = performed(tasks, Pretend(lambda task: answers.get(task, ended(task))), tmp_path)
    assert [entries[task].status for task in tasks] == ["failed", "died", "ok", "ok"]
    assert entries[tasks[1]].error == "OSError: the node is gone"
    first = next(i for i, line in enumerate(told) if tasks[0].name in line)
    assert told[first + 1 : first + 6] == [f"    line {i}" for i in range(4, 9)]
    assert "2 failed" in told[-1]


def test_what_another_process_performs_is_waited_for(tasks, tmp_path, monkeypatch):
    monkeypatch.setattr("lib.workbook.sweep.LOOK_S", 0.01)
    other = FileClaim(tasks[0].executed)
    assert other.acquire()
    looks = []

    def answer(task):
        return None if task is tasks[0] else ended(task)

    def done(states=None):
        looks.append(1)
        if len(looks) == 4:
            finish(tasks[0])
        return read_entry(tasks[0].executed)

    found = make_plan(tasks, tmp_path)
    object.__setattr__(tasks[0], "done", done)
    backend, told, entries = Pretend(answer), [], {}
    Sweep(found, backend, told.append, entries).run()
    assert [task for task, _ in backend.given].count(tasks[0]) == 1
    assert entries[tasks[0]].status == "ok"
    assert "(by another process)" in told[-1]


def test_what_another_process_dropped_is_taken_over(tasks, tmp_path, monkeypatch):
    monkeypatch.setattr("lib.workbook.sweep.LOOK_S", 0.01)
    answers = [None]
    backend = Pretend(lambda task: answers.pop() if task is tasks[0] and answers else ended(task))
    entries, _ = performed(tasks, backend, tmp_path)  # nobody holds the claim any more
    given = [how["patience"] for task, how in backend.given if task is tasks[0]]
    assert given[0] == 0
    assert given[1] > 60  # a claim from another machine must be watched for a minute before it counts as dead
    assert entries[tasks[0]].status == "ok"


class Clock:
    """Instead of the module `time`: sleeping takes no time, and is counted."""

    def __init__(self, monkeypatch, on_sleep):
        self.now, self.slept, self.on_sleep = 1000.0, 0, on_sleep
        monkeypatch.setattr("lib.workbook.sweep.time", self)

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.slept += 1
        self.on_sleep(self.slept)


def test_waiting_for_others_is_no_busy_loop(tasks, tmp_path, monkeypatch):
    looks = []
    task = tasks[0]

    def done(states=None):
        looks.append(1)
        return read_entry(task.executed)

    found = make_plan(tasks[:1], tmp_path)
    object.__setattr__(task, "done", done)
    claim = FileClaim(task.executed)
    assert claim.acquire()
    clock = Clock(monkeypatch, lambda slept: slept == 5 and finish(task))
    entries = {}
    Sweep(found, Pretend(lambda task: None), lambda line: None, entries).run()
    assert entries[task].status == "ok"
    assert clock.slept == 5
    assert len(looks) == clock.slept


def test_a_line_appears_every_minute(tasks, tmp_path, monkeypatch):
    """Two jobs of a cluster: one of them is queued for hours, then both run, then they end."""
    flying = [Future(), Future()]
    backend = Pretend(None, queues=True)
    backend.submit = lambda task, **how: flying[tasks.index(task)]
    claims = [FileClaim(task.executed) for task in tasks]
    clock = Clock(monkeypatch, None)

    def wait(futures, timeout, return_when):
        clock.now += timeout
        step = round((clock.now - 1000) / timeout)
        if step in (1, 60):
            assert claims[step // 60].acquire()
        if step == 95:
            [future.set_result(ended(task)) for task, future in zip(tasks, flying, strict=False)]
        return SimpleNamespace(done={future for future in futures if future.done()})

    monkeypatch.setattr("lib.workbook.sweep.wait", wait)
    told = []
    Sweep(make_plan(tasks[:2], tmp_path), backend, told.append, {}).run()
    assert told[:3] == ["0/2 | 1 running, 1 queued, 0 failed", "0/2 | 2 running, 0 failed", "0/2 | 2 running, 0 failed"]
    assert len(told) == 5
    assert told[-1].endswith("| 0 running, 0 failed, 0 s left")


def test_the_plan_estimates_from_what_is_recorded(tasks, tmp_path):
    runs = tmp_path / "report" / "runs"
    assert make_plan(tasks, runs).estimate(2).startswith("no estimate")
    finish(tasks[0])
    assert make_plan(tasks, runs).estimate(2) == "about 4 s at 2 at a time (2 s a run so far)"
    assert make_plan(tasks[1:], runs).estimate(1) == "about 6 s at 1 at a time (2 s a run so far)"
    assert make_plan(tasks[:1], runs).estimate(1) == "nothing to do"


def sweep(*arguments, **kwargs):
    command = [sys.executable, str(ROOT / "run_all.py"), "sweep", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **kwargs)


def test_a_grid_from_end_to_end(notebook, tmp_path):
    path = notebook(tmp_path / "04_a.ipynb", "#! # <b>A</b>", "print('x is', x)", "assert x < 5", parameters=PARAMETERS)
    arguments = [path, "--grid", "x=1,7", "--grid", "seed=0,1", "--workers", "2", "--output-dir", tmp_path / "out"]
    plan = sweep(*arguments, "--dry-run")
    assert plan.returncode == 0
    assert plan.stdout.count("to do  04-") == 4
    assert not (tmp_path / "out").exists()
    done = sweep(*arguments)
    assert done.returncode == 1
    assert "2 of 4 runs ok" in done.stdout
    assert "AssertionError" in done.stdout
    study = next((tmp_path / "out" / "report" / "studies").glob("04_a-x-seed-*.html"))
    page = study.read_text()
    assert page.count('class="badge ok"') == page.count('class="badge failed"') == 2
    folders = sorted((tmp_path / "out" / "report" / "runs").iterdir())
    assert all(f"../runs/{folder.name}/index.html" in page for folder in folders)
    assert (
        "&lt;b&gt;A" in (folders[0] / "index.html").read_text() or "A</h1>" in (folders[0] / "index.html").read_text()
    )
    assert f'href="studies/{study.name}"' in (tmp_path / "out" / "report" / "index.html").read_text()
    again = sweep(*arguments, "--dry-run")
    assert (again.stdout.count("done   04-"), again.stdout.count("to do  04-")) == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["02"], "needs at least one --grid"),
        (["02", "--grid", "fusion=a"], "Did you mean 'fusion_strategy'"),
        (["02", "--grid", "lr="], "--grid lr= is empty"),
        (["02", "--grid", "lr=-1", "--dry-run"], "lr=-1.0 must be above 0"),
        (["02", "--grid", "lr"], "--grid NAME=VALUE"),
        (["02", "--grid", "lr=1", "--grid", "lr=2"], "--grid lr is given twice"),
        (["quick", "-p", "lr=1"], "a protocol says itself what it runs"),
        (["quik"], "Did you mean 'quick'"),
        (["quick", "--backend", "slurn"], "Unknown back end 'slurn'. Did you mean 'slurm'"),
        (["quick", "--address", "auto"], "--address is for --backend ray"),
        (["quick", "--slurm", "time=1"], "--slurm is for --backend slurm"),
        (["quick", "--dry-run", "--backend", "slurn"], "Unknown back end 'slurn'. Did you mean 'slurm'"),
        (["quick", "--workers", "0"], "at least 1, not '0'"),
        (["quick", "--gird", "a=1"], "Did you mean '--grid'"),
    ],
)
def test_a_mistake_is_told_before_the_first_run(arguments, message, tmp_path):
    with pytest.raises(WorkbookError, match=message):
        main(["sweep", *arguments, "--output-dir", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_dry_run_estimates_with_the_back_ends_slots(notebook, tmp_path, monkeypatch, capsys):
    path = notebook(tmp_path / "04_a.ipynb", "1", parameters=PARAMETERS)
    write_entry(tmp_path / "report" / "runs" / "another" / "04_a.ipynb", Entry("ok", 2.0, "2026-01-01T00:00:00", {}))
    monkeypatch.setattr(
        "lib.workbook.sweep_commandline.RayCluster", lambda *_: nullcontext(Pretend(None, slots=7, queues=True))
    )
    arguments = ["sweep", str(path), "--grid", "x=1,2,3", "--output-dir", str(tmp_path)]
    assert main([*arguments, "--dry-run", "--backend", "ray", "--address", "auto"]) == 0
    assert "about 2 s at 7 at a time" in capsys.readouterr().out


def test_notebooks_that_read_the_study_are_executed_at_its_end(notebook, tmp_path, monkeypatch, capsys):
    train = notebook(tmp_path / "04_train.ipynb", "1", parameters=PARAMETERS)
    reading = 'protocol: str = "quick"\noutput_dir: str = "outputs"'
    read = notebook(tmp_path / "05_read.ipynb", "print('reads', protocol)", parameters=reading)
    study = tmp_path / "study.yaml"
    study.write_text(f"notebook: {train}\nsweeps: {{x: {{x: [1]}}}}\nthen: [{read}]\n")
    arguments = ["sweep", str(study), "--output-dir", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert f"05 | reads {study}" in capsys.readouterr().out
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "1 runs, 1 done, 0 to do" in out
    assert "05 | nothing has changed" in out


def test_ten_thousand_configurations_are_planned_from_what_is_recorded(notebook, tmp_path, capsys):
    path = notebook(tmp_path / "04_a.ipynb", "1", parameters=PARAMETERS)
    values = ",".join(map(str, range(100)))
    main(
        [
            "sweep",
            str(path),
            "--grid",
            f"x={values}",
            "--grid",
            f"seed={values}",
            "--dry-run",
            "--output-dir",
            str(tmp_path),
        ]
    )
    out = capsys.readouterr().out
    assert out.count("to do  04-") == 10_000
