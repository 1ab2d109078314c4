"""Two sweeps on one store under random kills, round after round: each store ends identical to one that nobody disturbed.

A round begins with an empty store. Two sweeps of one study fill it side by side; every few seconds one of their processes, a
sweep or any that it has started, is killed, and a sweep that died is started again. When both have ended well, every result
of every run is compared with the quiet store's, bit by bit.

    python -m benchmarks.soak                  # two hours
    python -m benchmarks.soak --minutes 3
"""

import contextlib
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from benchmarks.aimed_kills import AIMS
from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from lib.paths import ROOT
from lib.training import RunStore

PARAMETERS = """\
seed: int = 0
lr: float = 1e-3
data_root: str = ""
output_dir: str = "outputs\""""
TRAINING = """\
from benchmarks.aimed_kills import arm
arm()
from lib.paths import resolve_output
from lib.training import RunConfig, RunStore, fit
settings = dict(backbone="toynet", attention="none", image_size=32, limit_images=150, sampler="none", max_epoch=6)
config = RunConfig(dataset="digits", data_root=data_root, device="cpu", seed=seed, lr=lr, **settings)
fit(config, RunStore(resolve_output(output_dir) / "runs"))"""
RESULTS = ("training_log.csv", "best.safetensors", "predictions.csv", "metrics.json", "config.json")
PAUSE_S = (0.5, 6.0)  # between two kills
QUIET_AFTER = 15  # kills of a round: then it may end
MOST_DEATHS = 2 * QUIET_AFTER  # a run that was killed is a failure of both sweeps
SWEEP = (
    "from benchmarks.aimed_kills import arm; arm(); from lib.workbook.commandline import main; raise SystemExit(main())"
)
Disturbance = Callable[[list[subprocess.Popen]], bool]  # may kill some of the sweeps; tells whether it is over


def write_study(folder: Path, seeds: Sequence[int] = (0, 1)) -> Path:
    """A study of trainings of a second each, two a seed."""
    cells = [new_markdown_cell("# A training\n\nDoes it go on?"), new_code_cell(PARAMETERS), new_code_cell(TRAINING)]
    cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(new_notebook(cells=cells), folder / "04_train.ipynb")
    common = f"common: {{data_root: {folder / 'digits'}}}"
    grid = f"seeds: {[*seeds]}\n{common}\nsweeps: {{lr: {{lr: [1e-3, 1e-2]}}}}\n"
    (folder / "study.yaml").write_text(f"notebook: {folder / '04_train.ipynb'}\n{grid}")
    return folder / "study.yaml"


def sweep(study: Path, out: Path, aims: Path | None = None) -> subprocess.Popen:
    """Begin a sweep of one worker, in a session of its own, that is killed as a folder of `aims` says."""
    command = [sys.executable, "-c", SWEEP, "sweep", str(study), "--workers", "1", "--output-dir", str(out)]
    environment = {**os.environ, **({AIMS: str(aims)} if aims else {})}
    with open(out.with_suffix(".log"), "a") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)


def results(out: Path) -> dict[str, str]:
    """{run and file: digest} of all that the runs of a store have computed."""
    files = [run.path / name for run in RunStore(out / "runs") for name in RESULTS]
    return {
        str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()
    }


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """What is in one store's `results` and not the same in the other's."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def fill(study: Path, out: Path, disturb: Disturbance, aims: Path | None = None) -> int:
    """Two sweeps fill the store `out`; one that ends badly is begun again. Returns how many have.

    Raises:
        RuntimeError: more than MOST_DEATHS have: something other than a kill ends them, so that they would for ever.
    """
    sweeps, ended, died = [sweep(study, out, aims) for _ in range(2)], [False, False], 0
    while not all(ended):
        if died > MOST_DEATHS:
            raise RuntimeError(f"{died} sweeps ended badly:\n{out.with_suffix('.log').read_text()}")
        over = disturb(sweeps)
        for number, process in enumerate(sweeps):
            status = process.wait() if over else process.poll()
            ended[number] = status == 0
            if status not in (None, 0):
                sweeps[number], died = sweep(study, out, aims), died + 1
    return died


class RandomKills:
    """SIGKILL to a sweep, or to any process that one has started, every few seconds."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.number = rng, 0

    def __call__(self, sweeps: list[subprocess.Popen]) -> bool:
        if self.number < QUIET_AFTER:
            time.sleep(self.rng.uniform(*PAUSE_S))
            self._kill_one(sweeps)
            self.number += 1
        return self.number >= QUIET_AFTER

    def _kill_one(self, sweeps: list[subprocess.Popen]) -> None:
        family = []
        for process in sweeps:
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                family += [parent, *parent.children(recursive=True)]
        if family:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.rng.choice(family).kill()


def rows(quick: bool = False, minutes: float = 120.0) -> Iterator[Row]:
    until, rng = time.monotonic() + 60 * (3 if quick else minutes), random.Random(0)
    rounds = killed = failed = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        study = write_study(Path(place))
        if sweep(study, Path(place) / "quiet").wait():
            raise SystemExit((Path(place) / "quiet.log").read_text())
        quiet = results(Path(place) / "quiet")
        print(f"quiet store: {len(quiet)} files", file=sys.stderr, flush=True)
        while time.monotonic() < until:
            out = Path(place) / f"round{rounds}"
            kills = RandomKills(rng)
            fill(study, out, kills)
            differ = differences(quiet, results(out))
            rounds, killed, failed = rounds + 1, killed + kills.number, failed + bool(differ)
            told = f"round {rounds}, {kills.number} kills: {', '.join(differ) or 'identical'}"
            print(told, file=sys.stderr, flush=True)
    unit = f"after {killed} kills"
    yield of_counts("stores identical to a quiet one", "all", rounds - failed, rounds, unit, at_least=1.0)


if __name__ == "__main__":
    run(rows)
