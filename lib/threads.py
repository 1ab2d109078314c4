"""As many threads as find a core each: a training takes fewer while other processes keep cores busy.

The threads of an operation wait for each other at its end. Where one of them has to share its core all wait until it has
had its turn, at every operation: on two cores with busy neighbours a step of a small ResNet took two threads 16 to 23 times
as long as one (November 2026).

Sums differ in their last digits with the number of threads. Where `OMP_NUM_THREADS` is set that number stays, whatever
others do: so do the runs of a report or a sweep, which get their share of the cores, repeat to the last digit.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil
import torch

log = logging.getLogger(__name__)

FIXED = "OMP_NUM_THREADS"
SAMPLE_S = 0.2  # how long a training that begins looks at what the others do
LOOK_S = 3.0  # between two looks: a shorter burst of another process changes nothing


class ProcessorTime(NamedTuple):
    """Seconds up to a moment: of the clock, and of all cores that this process may use and did what."""

    clock: float
    all: float  # busy with anybody's work
    own: float  # busy with that of this process and of those it has started

    @classmethod
    def now(cls) -> "ProcessorTime":
        """Up to this moment. What children of this process used before they ended counts as its own."""
        ours = psutil.Process()
        family = [ours, *ours.children(recursive=True)]
        return cls(time.monotonic(), sum(map(_busy, _cores())), sum(map(_own, family)))

    def others(self, before: "ProcessorTime") -> float:
        """How many cores other processes kept busy since `before`, on average."""
        return max(0.0, (self.all - before.all) - (self.own - before.own)) / max(self.clock - before.clock, 1e-9)


class Threads:
    """How many threads PyTorch takes, none fewer than one and none more than it had.

    `numbers` are all that it has had, in their order.
    """

    def __init__(self, fixed: bool = False) -> None:
        self.most = torch.get_num_threads()
        self.fixed = fixed or self.most == 1
        self.free = self.most
        self.numbers: list[int] = []

    def begin(self) -> None:
        """Look at what other processes do at this moment, and take what they leave."""
        if not self.fixed:
            self._seen = ProcessorTime.now()
            time.sleep(SAMPLE_S)
            self._measure()
        self._take(self.free)

    def look(self, epoch_begins: bool = False) -> None:
        """Take fewer where others have come since the last look; more, where they have gone, when an epoch begins."""
        if self.fixed:
            return
        if time.monotonic() - self._seen.clock >= LOOK_S:
            self._measure()
        if self.free < self.numbers[-1] or epoch_begins:
            self._take(self.free)

    def _measure(self) -> None:
        now = ProcessorTime.now()
        self.others, self._seen = now.others(self._seen), now
        self.free = min(self.most, max(1, round(len(_cores()) - self.others)))

    def _take(self, number: int) -> None:
        if self.numbers[-1:] == [number]:
            return
        torch.set_num_threads(number)
        if not self.fixed and (number < self.most or self.numbers):
            busy = f"other processes keep {self.others:.1f} of {len(_cores())} cores busy"
            log.info(
                "%d thread%s from here on: %s (%s=%d keeps all)", number, "s" * (number > 1), busy, FIXED, self.most
            )
        self.numbers.append(number)


@contextmanager
def threads_beside_others(where: torch.device, processes: int = 1) -> Iterator[Threads]:
    """The threads of what is computed on `where` inside. They stay as they are on a GPU, in one of several `processes` that
    compute together, and where FIXED says how many."""
    threads = Threads(fixed=where.type != "cpu" or processes > 1 or FIXED in os.environ)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads.most)


def _cores() -> list:
    """The times of each core that this process may use."""
    times = psutil.cpu_times(percpu=True)
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(times))
    return [times[core] for core in usable if core < len(times)]


def _busy(core: tuple) -> float:
    return sum(getattr(core, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal"))


def _own(process: psutil.Process) -> float:
    """Of a process and of those that it has seen end."""
    try:
        return sum(process.cpu_times()[:4])
    except psutil.NoSuchProcess:
        return 0.0
