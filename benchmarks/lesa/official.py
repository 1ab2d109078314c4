"""LESA's training step against its authors' code (github.com/Chenglin-Yang/LESA_classification) with the same weights: time and
memory. `--lesa-official` names a clone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import peers
from benchmarks.lesa.step import BATCH, SIZE, peak, step
from benchmarks.program import run
from benchmarks.rows import NotRun, Row, of_counts
from benchmarks.timing import side_by_side
from lib.lesa import lesa_net, load_weights

NAME = f"LESA-ResNet50, step at {SIZE}², batch {BATCH}"


class Settings(dict):
    """Their settings are asked for as items and as attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


# The paper's network for classification, LESA in layer3 and layer4 of maps of 14×14.
LAYER = Settings(
    type="LESA",
    with_cp_UB_terms_only=False,
    pe_type="classification",
    groups=8,
    df_channel_shrink=[2],
    df_kernel_size=[1, 1],
    df_group=[1, 1],
)
NETWORK = Settings(
    strides=(1, 2, 2, 1),
    wrn=False,
    stage_spatial_res=[56, 28, 14, 14],
    stage_with_first_conv=[True, True, True, False],
    lesa=LAYER,
    stage_with_lesa=(False, False, True, True),
)


def rows(quick: bool = False, lesa_official: Path | None = None) -> Iterator[Row | NotRun]:
    if lesa_official is None:
        yield NotRun(f"its authors' {NAME} ÷ ours", peers.told("lesa_official"))
        return
    torch.manual_seed(0)
    theirs, ours = peers.lesa_official(lesa_official).resnet50(NETWORK), lesa_net("lesa_resnet50")
    load_weights(ours.net, theirs.state_dict())
    x = torch.randn(BATCH, 3, SIZE, SIZE)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-3, atol=1e-4)
    works = [lambda m=m: step(m, x) for m in (theirs, ours)]
    yield side_by_side(f"its authors' {NAME}", "ours", *works, rounds=3 if quick else 5)
    yield of_counts(f"{NAME}, memory", "its authors'", *(peak(m, x) / 1e6 for m in (ours, theirs)), unit="MB")


if __name__ == "__main__":
    run(rows)
