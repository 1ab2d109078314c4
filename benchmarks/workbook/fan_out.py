"""What the back ends cost beyond the runs themselves, and how fast a large study is planned.

    python -m benchmarks.workbook.fan_out [RUNS]     (200 by default: some ten minutes on two cores)

A run is a notebook that sleeps. Overhead: what the pool's slots were busy or idle beyond the time that the runs'
own processes took. Speed-up of Ray: the time of the same runs one after the other, on the local pool, over the
time on two workers, Ray's start excluded; ideal is 2.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from lib.paths import ROOT
from lib.workbook.backends import Backend, LocalPool, RayCluster
from lib.workbook.plan import Job
from lib.workbook.sweep import Sweep, make_plan
from lib.workbook.task import run_task

WORKERS, SERIAL, RAY = 2, 6, 24
PARAMETERS = "x: int = 0\nseed: int = 0"


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as scratch:
        notebook = write_notebook(Path(scratch) / "04_sleep.ipynb")
        wall, busy = perform(notebook, runs, LocalPool(WORKERS), Path(scratch) / "local")
        print(
            f"local pool, {runs} runs on {WORKERS} slots: {wall:.0f} s, {busy / runs:.2f} s a run's own process; ",
            end="",
        )
        print(f"overhead {(WORKERS * wall - busy) / runs:.3f} s a run")
        one, _ = perform(notebook, SERIAL, LocalPool(1), Path(scratch) / "serial")
        wall, _ = perform(notebook, RAY, RayCluster(WORKERS), Path(scratch) / "ray")
        speed_up = RAY * one / SERIAL / wall
        print(f"Ray, {RAY} runs on {WORKERS} workers: speed-up {speed_up:.2f} ({speed_up / WORKERS:.0%} of the ideal)")
        print(
            f"dry run of 10,000 configurations: {plan(notebook, Path(scratch) / 'plan'):.1f} s, the interpreter's start included"
        )


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


def plan(notebook: Path, output: Path) -> float:
    values = ",".join(map(str, range(100)))
    command = [
        sys.executable,
        ROOT / "run_all.py",
        "sweep",
        notebook,
        "--grid",
        f"x={values}",
        "--grid",
        f"seed={values}",
    ]
    began = time.monotonic()
    subprocess.run([*command, "--dry-run", "--output-dir", output], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
