"""A training step beside a process that keeps cores busy: with one thread, with all, and with threads that follow the load.

    python -m benchmarks.training.busy_neighbour     (a minute on two cores that nobody else uses)

The neighbours compute without pause, one for every second core; the three ways take turns.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import torch
from torch.nn.functional import cross_entropy

from benchmarks.program import run
from benchmarks.rows import Row
from benchmarks.timing import Seconds, in_a_process, timed, timed_turns
from lib import create_model
from lib.threads import Threads

ROUNDS, STEPS = 5, 3
BUSY = "while True: pass"
WAYS = ("one thread", "all threads", "threads that follow the load")


def rows(quick: bool = False) -> Iterator[Row]:
    """The steps in a process of their own: what this one has started are no others to it."""
    programs = [BUSY] * max(1, (os.cpu_count() or 1) // 2)
    neighbours = [subprocess.Popen([sys.executable, "-c", program]) for program in programs]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    try:
        turns = in_a_process(measure, 2 if quick else ROUNDS, environment=environment)
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
    for number, wanted in ((1, {}), (2, {"at_most": 1.0})):
        pairs = [(Seconds(*turn[number]), Seconds(*turn[0])) for turn in turns]
        yield timed_turns(f"step beside a busy process, {WAYS[number]}", WAYS[0], pairs, **wanted)


def measure(rounds: int) -> list[list[Seconds]]:
    """What some steps take in each of `WAYS`, which take turns."""
    step, threads, turns = training_step(), Threads(), []
    for _ in range(rounds):
        turns.append([])
        for number in (lambda: 1, lambda: threads.most, lambda: following(threads)):
            torch.set_num_threads(number())
            step()
            turns[-1].append(timed(lambda: [step() for _ in range(STEPS)])[1])
    return turns


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
    run(rows)
