"""One training step of GLSA against its bare backbone: time and parameters."""

from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from benchmarks.timing import side_by_side
from lib import create_model

BATCH, SIZE = 8, 224


def step(model: nn.Module, images: torch.Tensor) -> None:
    """Forward and backward in bfloat16, as the trainer does."""
    with torch.autocast(images.device.type, dtype=torch.bfloat16):
        loss = model(images).float().logsumexp(dim=1).mean()
    loss.backward()
    if images.device.type == "cuda":
        torch.cuda.synchronize()


def rows(quick: bool = False) -> Iterator[Row]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=device).to(memory_format=torch.channels_last)
    for name in ("resnet18", "resnet50"):
        models = [
            create_model(name, num_classes=7, pretrained=False, attn_type=attention) for attention in ("CBAM", "none")
        ]
        glsa, bare = (m.to(device, memory_format=torch.channels_last) for m in models)
        what, against = f"GLSA-{name}, step at {SIZE}², batch {BATCH}", "its bare backbone's"
        works = [lambda m=m: step(m, images) for m in (glsa, bare)]
        yield side_by_side(what, against, *works, rounds=3 if quick else 9, at_most=1.25)
        yield of_counts(f"GLSA-{name}, parameters", against, *(m.count_parameters()["total"] for m in (glsa, bare)))


if __name__ == "__main__":
    run(rows)
