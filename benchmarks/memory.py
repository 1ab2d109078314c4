"""Resident memory of one process that trains again and again: after the tenth training it grows no more.

python -m benchmarks.memory                # 100 trainings
python -m benchmarks.memory --runs 20
"""

import argparse
import logging
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import torch

from lib.training import RunConfig, fit

WARM = 10  # trainings, after which all that is kept for good is there
MOST_GROWTH = 0.02


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    runs, process, sizes = parser.parse_args().runs, psutil.Process(), []
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
                print(f"after {number}: {sizes[-1] / 2**20:.0f} MiB, {held}", flush=True)
    growth = sizes[-1] / sizes[WARM - 1] - 1
    print(f"after {runs} ÷ after {WARM}: {1 + growth:.3f}")
    return 1 if growth > MOST_GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
