"""Two sweeps on one store under random kills, round after round: each store ends identical to one that nobody disturbed.

A round begins with an empty store. Two sweeps of one study fill it side by side; every few seconds one of their processes, a
sweep or any that it has started, is killed, and a sweep that died is started again. When both have ended well, every result
of every run is compared with the quiet store's, bit by bit.

    python -m benchmarks.soak                  # two hours
    python -m benchmarks.soak --minutes 3
"""

import argparse
import contextlib
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib.paths import ROOT
from lib.training import RunStore

PARAMETERS = """\
seed: int = 0
lr: float = 1e-3
data_root: str = ""
output_dir: str = "outputs\""""
TRAINING = """\
from lib.paths import resolve_output
from lib.training import RunConfig, RunStore, fit
settings = dict(backbone="toynet", attention="none", image_size=32, limit_images=150, sampler="none", max_epoch=6)
config = RunConfig(dataset="digits", data_root=data_root, device="cpu", seed=seed, lr=lr, **settings)
fit(config, RunStore(resolve_output(output_dir) / "runs"))"""
RESULTS = ("training_log.csv", "best.safetensors", "predictions.csv", "metrics.json", "config.json")
PAUSE_S = (0.5, 6.0)  # between two kills
QUIET_AFTER = 15  # kills of a round: then it may end


def write_study(folder: Path) -> Path:
    """A study of four trainings of a second each."""
    cells = [new_markdown_cell("# A training\n\nDoes it go on?"), new_code_cell(PARAMETERS), new_code_cell(TRAINING)]
    cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(new_notebook(cells=cells), folder / "04_train.ipynb")
    common = f"common: {{data_root: {folder / 'digits'}}}"
    study = f"notebook: {folder / '04_train.ipynb'}\nseeds: [0, 1]\n{common}\nsweeps: {{lr: {{lr: [1e-3, 1e-2]}}}}\n"
    (folder / "study.yaml").write_text(study)
    return folder / "study.yaml"


def sweep(study: Path, out: Path) -> subprocess.Popen:
    """Begin a sweep of one worker, in a session of its own."""
    command = [
        sys.executable,
        str(ROOT / "run_all.py"),
        "sweep",
        str(study),
        "--workers",
        "1",
        "--output-dir",
        str(out),
    ]
    with open(out.with_suffix(".log"), "a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def results(out: Path) -> dict[str, str]:
    """{run and file: digest} of all that the runs of a store have computed."""
    files = [run.path / name for run in RunStore(out / "runs") for name in RESULTS]
    return {
        str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()
    }


def kill_one(sweeps: list[subprocess.Popen], rng: random.Random) -> None:
    """SIGKILL to a sweep, or to any process that one has started."""
    family = []
    for process in sweeps:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            family += [parent, *parent.children(recursive=True)]
    if family:
        with contextlib.suppress(psutil.NoSuchProcess):
            rng.choice(family).kill()


def disturbed_round(study: Path, out: Path, rng: random.Random) -> int:
    """Fill the store `out`; returns the number of kills."""
    sweeps, kills, ended = [sweep(study, out) for _ in range(2)], 0, [False, False]
    while not all(ended):
        if kills < QUIET_AFTER:
            time.sleep(rng.uniform(*PAUSE_S))
            kill_one(sweeps, rng)
            kills += 1
        for number, process in enumerate(sweeps):
            status = process.wait() if kills >= QUIET_AFTER else process.poll()
            ended[number] = status == 0
            if status not in (None, 0):
                sweeps[number] = sweep(study, out)
    return kills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    until, rng, failed = time.monotonic() + 60 * parser.parse_args().minutes, random.Random(0), 0
    rounds = killed = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        study = write_study(Path(place))
        if sweep(study, Path(place) / "quiet").wait():
            raise SystemExit((Path(place) / "quiet.log").read_text())
        quiet = results(Path(place) / "quiet")
        print(f"quiet store: {len(quiet)} files", flush=True)
        while time.monotonic() < until:
            out = Path(place) / f"round{rounds}"
            kills = disturbed_round(study, out, rng)
            found = results(out)
            differ = sorted(name for name in quiet.keys() | found.keys() if quiet.get(name) != found.get(name))
            rounds, killed, failed = rounds + 1, killed + kills, failed + bool(differ)
            print(f"round {rounds}, {kills} kills: {', '.join(differ) or 'identical'}", flush=True)
    print(f"{rounds - failed} of {rounds} stores identical to the quiet one, after {killed} kills")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
