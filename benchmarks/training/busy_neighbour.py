"""A training step beside a process that keeps cores busy: with one thread, with all, and with threads that follow the load.

    python -m benchmarks.training.busy_neighbour     (a minute on two cores that nobody else uses)

The neighbours compute without pause, one for every second core; the three ways take turns.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

os.environ.pop("OMP_NUM_THREADS", None)  # before torch: threads are what is measured

import torch
from torch.nn.functional import cross_entropy

from lib import create_model
from lib.threads import Threads

ROUNDS, STEPS = 5, 3
BUSY = "while True: pass"
MEASURE = "from benchmarks.training.busy_neighbour import measure; measure()"


def main() -> None:
    """The steps in a process of their own: what this one has started are no others to it."""
    programs = [BUSY] * max(1, (os.cpu_count() or 1) // 2)
    neighbours = [subprocess.Popen([sys.executable, "-c", program]) for program in programs]
    try:
        subprocess.run([sys.executable, "-c", MEASURE], check=True)
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


def measure() -> None:
    """Print the seconds of a step each way."""
    step, threads = training_step(), Threads()
    ways = {"one thread": lambda: 1, "all threads": lambda: threads.most, "following": lambda: following(threads)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, number in ways.items():
            torch.set_num_threads(number())
            step()
            began = time.perf_counter()
            for _ in range(STEPS):
                step()
            seconds[name].append((time.perf_counter() - began) / STEPS)
    middle = {name: statistics.median(taken) for name, taken in seconds.items()}
    for name, value in middle.items():
        print(f"{name}: {value:.2f} s a step, {value / middle['one thread']:.2f} of what one thread takes")
    print(f"threads that followed the load: {threads.numbers} of {threads.most}")


def following(threads: Threads) -> int:
    """As many threads as a training that begins now would take."""
    threads.begin()
    return threads.numbers[-1]


def training_step() -> Callable[[], None]:
    """`resnet18_small` with a GLSA block, batches of 16 images of 64×64."""
    torch.manual_seed(0)
    network = create_model("resnet18_small", num_classes=7, fusion_strategy="learnable_gate").train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    images, labels = torch.randn(16, 3, 64, 64), torch.randint(7, (16,))

    def step() -> None:
        optimiser.zero_grad()
        cross_entropy(network(images), labels).backward()
        optimiser.step()

    return step


if __name__ == "__main__":
    main()
