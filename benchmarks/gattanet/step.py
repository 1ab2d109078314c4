"""One training step of GAttANet, two passes and ResNet18 from `layer2` on, against its bare backbone: time, parameters."""

from collections.abc import Iterator

import torch

from benchmarks.glsa.step import BATCH, SIZE, step
from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from benchmarks.timing import side_by_side
from lib import create_model

MOST = {2: {"at_most": 1.8}}  # of the backbone's step, by passes
CLASSES = 7


def rows(quick: bool = False) -> Iterator[Row]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=device).to(memory_format=torch.channels_last)
    bare = create_model("resnet18", num_classes=CLASSES, pretrained=False, attn_type="none")
    bare.to(device, memory_format=torch.channels_last)
    for passes in (1, 2, 3):
        model = create_model("resnet18", num_classes=CLASSES, pretrained=False, attn_type="gatta", passes=passes)
        model.to(device, memory_format=torch.channels_last)
        name, against = f"GAttANet-ResNet18, {passes} passes", "its bare backbone's"
        works = [lambda m=m: step(m, images) for m in (model, bare)]
        what = f"{name}, step at {SIZE}², batch {BATCH}"
        yield side_by_side(what, against, *works, rounds=3 if quick else 9, **MOST.get(passes, {}))
        yield of_counts(f"{name}, parameters", against, *(m.count_parameters()["total"] for m in (model, bare)))


if __name__ == "__main__":
    run(rows)
