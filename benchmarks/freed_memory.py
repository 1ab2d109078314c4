"""A step where freed memory is kept (`lib.malloc`), against one where it goes back to the system each time."""

import os
import resource
import statistics
from collections.abc import Callable, Iterator

from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from benchmarks.timing import Seconds, in_a_process, timed, timed_turns

ROUNDS, STEPS = 3, 8
WORK = ("ResNet18 at 64×64, batch 32", "ResNet18 at 224×224, batch 8", "DCAL-DeiT-Tiny at 224×224, batch 4")


def step(number: int) -> Callable[[], object]:
    """A function that does one training step of `WORK[number]`."""
    import torch
    from torch.nn.functional import cross_entropy

    from lib import create_dcal_model, create_model

    side, batch = ((64, 32), (224, 8), (224, 4))[number]
    images, labels = torch.randn(batch, 3, side, side), torch.arange(batch) % 7
    if number == 2:
        from benchmarks.dcal.step import dcal_step

        model = create_dcal_model("deit_tiny_patch16_224", 7, img_size=side)
        return lambda: dcal_step(model, images, labels)
    model = create_model("resnet18", num_classes=7, pretrained=False, attn_type="none")
    return lambda: cross_entropy(model(images), labels).backward()


def measure(number: int) -> tuple[float, float, float]:
    """Median seconds of a step, of the wall and of the processor, and pages that it asked the system for."""
    work, seconds, pages = step(number), [], []
    for _ in range(STEPS):
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        seconds.append(timed(work)[1])
        pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
    walls, processors = zip(*seconds[2:], strict=True)
    return statistics.median(walls), statistics.median(processors), statistics.median(pages[2:])


def rows(quick: bool = False) -> Iterator[Row]:
    keeping = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    ways = (keeping, keeping | {"GLIBC_TUNABLES": ""})
    for number, name in enumerate(WORK[:1] if quick else WORK):
        turns = [[in_a_process(measure, number, environment=way) for way in ways] for _ in range(ROUNDS)]
        step, given_back = f"step of {name}, freed memory kept", "given back"
        yield timed_turns(step, given_back, [tuple(Seconds(*found[:2]) for found in turn) for turn in turns])
        pages = [statistics.median(turn[way][2] for turn in turns) for way in (0, 1)]
        yield of_counts(f"{step}, pages asked of the system", given_back, *pages)


if __name__ == "__main__":
    run(rows)
