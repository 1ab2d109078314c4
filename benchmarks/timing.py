"""How the benchmarks measure: the two sides take turns in one process, and each turn gives a ratio."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from benchmarks.rows import Row, of_turns


class Seconds(NamedTuple):
    """Of the wall's clock, and of this process on all its cores."""

    wall: float
    processor: float


def timed(work: Callable[[], object]) -> tuple[Any, Seconds]:
    """What `work` gives, and how long it takes, what it has left to do on a GPU included."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, Seconds(time.perf_counter() - wall, time.process_time() - processor)


def side_by_side(
    name: str,
    against: str,
    work: Callable[[], object],
    other: Callable[[], object],
    rounds: int = 9,
    **wanted: float,
) -> Row:
    """The time of `work` ÷ the time of `other`, by turns, after one round of warming up."""
    work(), other()
    return timed_turns(name, against, [(timed(work)[1], timed(other)[1]) for _ in range(rounds)], **wanted)


def timed_turns(name: str, against: str, turns: list[tuple[Seconds, Seconds]], **wanted: float) -> Row:
    """The row of what two works took, turn by turn."""
    walls, processors = ([first[n] / second[n] for first, second in turns] for n in range(2))
    note = " ÷ ".join(duration(statistics.median(turn[n].wall for turn in turns)) for n in range(2))
    return of_turns(name, against, walls, note, processor=statistics.median(processors), **wanted)


def duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def in_a_process(function: Callable, *args: object, environment: Mapping[str, str] | None = None) -> Any:
    """What `function` of a module returns in a process of its own, numbers, texts and lists of them."""
    spec = function.__globals__["__spec__"]  # its name, also where the module is the program
    call = f"import json; from {spec.name} import {function.__name__} as work; print(json.dumps(work(*{args!r})))"
    done = subprocess.run([sys.executable, "-c", call], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])
