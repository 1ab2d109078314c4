"""A step where freed memory is kept (`lib.malloc`), against one where it goes back to the system each time."""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

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


def measure(number: int) -> None:
    """Print median seconds of a step, and pages that it asked the system for."""
    work, seconds, pages = step(number), [], []
    for _ in range(STEPS):
        faults, began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
        pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
    print(statistics.median(seconds[2:]), statistics.median(pages[2:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", type=int, choices=range(len(WORK)), help=argparse.SUPPRESS)
    number = parser.parse_args().measure
    if number is not None:
        measure(number)
        return
    keeping = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    for number, name in enumerate(WORK):
        found = {"kept": [], "given back": []}
        for _ in range(ROUNDS):
            for kind, environment in (("kept", keeping), ("given back", keeping | {"GLIBC_TUNABLES": ""})):
                command = [sys.executable, "-m", "benchmarks.freed_memory", "--measure", str(number)]
                out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
                found[kind].append([float(x) for x in out.split()])
        (ours, few), (theirs, many) = (
            [statistics.median(x) for x in zip(*runs, strict=True)] for runs in found.values()
        )
        print(
            f"{name}: {1e3 * ours:.0f} ms against {1e3 * theirs:.0f} ms, {100 * (1 - ours / theirs):.0f} % less; "
            f"{few:.0f} pages a step against {many:.0f}"
        )


if __name__ == "__main__":
    main()
