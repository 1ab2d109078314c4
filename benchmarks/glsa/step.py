"""One training step of GLSA, full and lean, against its bare backbone: time and parameters."""

from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from benchmarks.timing import side_by_side
from lib import create_model
from lib.hardware import mixed_precision

BATCH, SIZE = 8, 224
WANTED = {"full": 1.25, "lean": 1.2}


def step(model: nn.Module, images: torch.Tensor) -> None:
    """Forward and backward in the precision that the trainer takes."""
    with mixed_precision("auto", images.device):
        loss = model(images).float().logsumexp(dim=1).mean()
    loss.backward()
    if images.device.type == "cuda":
        torch.cuda.synchronize()


def rows(quick: bool = False) -> Iterator[Row]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=device).to(memory_format=torch.channels_last)
    for name in ("resnet18", "resnet50"):
        bare = create_model(name, num_classes=7, attn_type="none").to(device, memory_format=torch.channels_last)
        for width, wanted in WANTED.items():
            glsa = create_model(name, num_classes=7, width=width).to(device, memory_format=torch.channels_last)
            what, against = f"{width} GLSA-{name}", "its bare backbone's"
            works = [lambda m=m: step(m, images) for m in (glsa, bare)]
            step_name = f"{what}, step at {SIZE}², batch {BATCH}"
            yield side_by_side(step_name, against, *works, rounds=3 if quick else 9, at_most=wanted)
            counts = [m.count_parameters()["total"] for m in (glsa, bare)]
            yield of_counts(f"{what}, parameters", against, *counts, at_most=wanted)


if __name__ == "__main__":
    run(rows)
