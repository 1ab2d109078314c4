"""What the back ends cost beyond the runs themselves, and how fast a large study is planned.

    python -m benchmarks.workbook.fan_out [--runs 40]     (some five minutes on two cores)

A run is a notebook that sleeps. The pool's slots are busy or idle beyond the time that the runs' own processes take. Ray's
time on two workers, its start excluded, is compared with half of that of as many runs one after the other on the local pool.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from benchmarks.program import run
from benchmarks.rows import Row, of_turns
from benchmarks.timing import duration
from lib.paths import ROOT
from lib.workbook.backends import Backend, LocalPool, RayCluster
from lib.workbook.plan import Job
from lib.workbook.sweep import Sweep, make_plan
from lib.workbook.task import run_task

WORKERS, SERIAL, RAY = 2, 6, 24
PARAMETERS = "x: int = 0\nseed: int = 0"


def rows(quick: bool = False, runs: int = 40) -> Iterator[Row]:
    runs, in_ray = (SERIAL, SERIAL) if quick else (runs, RAY)
    with tempfile.TemporaryDirectory() as scratch:
        notebook, folder = write_notebook(Path(scratch) / "04_sleep.ipynb"), Path(scratch)
        wall, busy = perform(notebook, runs, LocalPool(WORKERS), folder / "local")
        note = f"{(WORKERS * wall - busy) / runs:.3f} s a run beyond its own process"
        yield of_turns(
            f"{runs} runs on a local pool of {WORKERS}", "their own processes", [WORKERS * wall / busy], note
        )
        one, _ = perform(notebook, SERIAL, LocalPool(1), folder / "serial")
        wall, _ = perform(notebook, in_ray, RayCluster(WORKERS), folder / "ray")
        ideal = in_ray * one / SERIAL / WORKERS
        note = f"{duration(wall)} ÷ {duration(ideal)}"
        yield of_turns(f"{in_ray} runs on Ray with {WORKERS} workers", "ideally divided", [wall / ideal], note)
        few, many = (plan(notebook, seeds, folder / f"plan{seeds}") for seeds in (10, 100))
        note = f"{duration(many)} ÷ {duration(few)}, the interpreter's start included"
        yield of_turns("plan of 10,000 runs", "of 1,000", [many / few], note, at_most=10.0)


def write_notebook(path: Path) -> Path:
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell("import time; time.sleep(2)")]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def perform(notebook: Path, runs: int, backend: Backend, report: Path) -> tuple[float, float]:
    """Seconds of the whole, and of the runs' own processes together."""
    tasks = [run_task(Job(notebook, {"x": x, "seed": 0}), report) for x in range(runs)]
    entries: dict = {}
    with backend as place:
        place.submit(run_task(Job(notebook, {"x": -1, "seed": 0}), report)).result()  # workers may start slowly, once
        began = time.monotonic()
        Sweep(make_plan(tasks, report), place, lambda line: None, entries).run()
        wall = time.monotonic() - began
    assert all(entry.status == "ok" for entry in entries.values())
    return wall, sum(entry.duration for entry in entries.values())


def plan(notebook: Path, seeds: int, output: Path) -> float:
    """Seconds of a dry run of a hundred values and so many seeds."""
    grids = [f"{name}={','.join(map(str, range(number)))}" for name, number in (("x", 100), ("seed", seeds))]
    command = [sys.executable, ROOT / "run_all.py", "sweep", notebook, "--grid", grids[0], "--grid", grids[1]]
    began = time.monotonic()
    subprocess.run([*command, "--dry-run", "--output-dir", output], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


if __name__ == "__main__":
    run(rows)
