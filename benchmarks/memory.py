"""Resident memory of one process that trains again and again: after the tenth training it grows no more.

python -m benchmarks.memory                # 100 trainings
python -m benchmarks.memory --runs 20
"""

import logging
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from lib.training import RunConfig, fit

WARM = 10  # trainings, after which all that is kept for good is there
MOST_GROWTH = 1.02


def rows(quick: bool = False, runs: int = 100) -> Iterator[Row]:
    runs, process, sizes = 2 * WARM if quick else runs, psutil.Process(), []
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    settings = {"backbone": "toynet", "attention": "none", "image_size": 32, "limit_images": 60, "sampler": "none"}
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(dataset="digits", data_root=f"{folder}/digits", max_epoch=1, device="cpu", **settings)
        for number in range(1, runs + 1):
            fit(config.replace(seed=number), Path(folder) / "runs")
            sizes.append(process.memory_info().rss)
            if number % 10 == 0:
                held = f"{process.num_fds()} files, {threading.active_count()} threads"
                print(f"after {number}: {sizes[-1] / 2**20:.0f} MiB, {held}", file=sys.stderr, flush=True)
    bytes_ = (sizes[-1] / 2**20, sizes[WARM - 1] / 2**20)
    yield of_counts(f"memory after {runs} trainings", f"after {WARM}", *bytes_, unit="MiB", at_most=MOST_GROWTH)


if __name__ == "__main__":
    run(rows)
