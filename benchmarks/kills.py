"""Kill a training at the worst moments and at any: the run that is gone on with must equal one that nobody disturbed.

Aimed: the process is killed while each kind of file that a training leaves is written: half of it written, all of it but
not yet in its place, and just after. Random: it is killed from outside after a random time. Then the same `fit` again, and
every file of the result is compared, bit by bit; nothing of the killed one may be left beside it.

    python -m benchmarks.kills               # every aim, and 20 random ones
    python -m benchmarks.kills --random 100
"""

import contextlib
import hashlib
import itertools
import os
import random as randomness
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.aimed_kills import MOMENTS, Strike, killing
from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from lib.training import RunConfig, fit

RESULTS = ("config.json", "basis.json", "training_log.csv", "best.safetensors", "predictions.csv", "metrics.json")
WRITTEN = (*RESULTS, "last.ckpt", "provenance.json", "manifest.json", ".npy", "notes")
Aim = tuple[str, str]  # what is written, and the moment


def small_config(folder: Path) -> RunConfig:
    """Three epochs of a second in all."""
    settings = {"backbone": "toynet", "attention": "none", "image_size": 32, "limit_images": 150, "sampler": "none"}
    return RunConfig(dataset="digits", data_root=str(folder / "digits"), max_epoch=3, device="cpu", **settings)


def begin(config: RunConfig, folder: Path, aim: Aim | None = None) -> int:
    """Start `fit` in a process of its own, which kills itself at its aim; returns its number."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with open(folder.with_suffix(".log"), "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        if aim is not None:
            os.replace = killing(os.replace, _second(*aim))
        fit(config, folder / "runs")
        status = 0
    finally:
        os._exit(status)


def _second(written: str, moment: str) -> Callable[[Path], Strike | None]:
    """Strikes at the second file called `written`, or at the first where there is one."""
    seen = itertools.count(1)
    wanted = 2 if written in ("training_log.csv", "last.ckpt") else 1
    return lambda target: (moment, [os.getpid()]) if _is(target, written) and next(seen) == wanted else None


def _is(path: Path, written: str) -> bool:
    in_cache = path.parent.name == "cache"
    return (in_cache and path.suffix == {"notes": ".json"}.get(written, written)) or (
        not in_cache and path.name == written
    )


def digests(run: Path) -> dict[str, str]:
    """{file: digest} of what a run has computed."""
    return {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in RESULTS if (run / name).exists()}


def left_over(folder: Path) -> list[str]:
    """Scratch files that a killed writer has left in a folder of runs and its cache."""
    return [str(path) for path in folder.rglob(".*.????????*") if path.is_file() and ".claim-" not in path.name]


def trial(config: RunConfig, folder: Path, reference: dict[str, str], aim: Aim | None, seconds: float = 0.0) -> str:
    """What is wrong after a kill at `aim`, or else after `seconds`, and another `fit`; '' where nothing is."""
    pid = begin(config, folder, aim)
    if aim is None:
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if aim is not None and status != signal.SIGKILL:
        return f"it was not killed (status {status})"
    _, status = os.waitpid(begin(config, folder), 0)
    found = digests(folder / "runs" / config.name)
    problems = [f"{name} differs" for name in reference if found.get(name) != reference[name]]
    problems += [f"{name} is left over" for name in left_over(folder)]
    return "; ".join([f"exit status {status}"] * bool(status) + problems)


def rows(quick: bool = False, random: int = 20) -> Iterator[Row]:
    rng = randomness.Random(0)
    torch.set_num_threads(1)
    import lib.training.trainer  # noqa: F401  what a forked process would load each time

    failed = total = 0
    with tempfile.TemporaryDirectory() as place:
        config, began = small_config(Path(place)), time.monotonic()
        _, status = os.waitpid(begin(config, Path(place) / "quiet"), 0)
        lasted, reference = time.monotonic() - began, digests(Path(place) / "quiet" / "runs" / config.name)
        if status or len(reference) < len(RESULTS):
            raise SystemExit((Path(place) / "quiet.log").read_text())
        aims = [*itertools.product(WRITTEN, MOMENTS), *[None] * random]
        for aim in aims[::8] if quick else aims:
            folder, seconds = Path(place) / f"trial{total}", rng.uniform(0.1, 1) * lasted
            wrong = trial(config, folder, reference, aim, seconds)
            what = " ".join(aim) if aim else f"after {seconds:.2f} s"
            print(f"{what}: {wrong or 'equal'}", file=sys.stderr, flush=True)
            failed, total = failed + bool(wrong), total + 1
            if not wrong:
                shutil.rmtree(folder)
    yield of_counts("kills that ended bit-equal", "all", total - failed, total, at_least=1.0)


if __name__ == "__main__":
    run(rows)
