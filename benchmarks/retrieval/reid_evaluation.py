"""Ranking a gallery of Market-1501's size: time and memory, against one argsort of the whole distance matrix.

`--msmt17` measures MSMT17's size, too (some minutes), `--rerank` re-ranking, both against Market-1501's in blocks. Each
measurement is a process of its own, so that its peak memory is its own.
"""

import resource
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.program import run
from benchmarks.rows import Row, of_counts, of_turns
from benchmarks.timing import duration, in_a_process
from lib.retrieval.distances import Embedded
from lib.retrieval.ranking import retrieval_scores
from lib.retrieval.reranking import Reranking

SIZES = {"market1501": (3_368, 15_913, 750), "msmt17": (11_659, 82_161, 3_060)}  # queries, gallery, identities
DIMENSIONS, CAMERAS = 768, 6


def embedded(images: int, identities: int, seed: int) -> Embedded:
    """Random images around a random centre for each identity."""
    centres = torch.randn(identities, DIMENSIONS, generator=torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(seed)
    who = torch.randint(identities, (images,), generator=random)
    vectors = torch.randn(images, DIMENSIONS, generator=random).mul_(3.0).add_(centres[who])
    return Embedded(vectors, who.numpy() + 1, np.random.default_rng(seed).integers(0, CAMERAS, images))


def whole_matrix(query: Embedded, gallery: Embedded) -> float:
    """mAP the usual way: all distances at once, all rows sorted, a loop over the queries."""
    order = torch.cdist(query.vectors, gallery.vectors).argsort(dim=1, stable=True).numpy()
    precisions = []
    for row, identity, camera in zip(order, query.identities, query.cameras, strict=True):
        same = gallery.identities[row] == identity
        right = same[~(same & (gallery.cameras[row] == camera))]
        precisions.append((np.cumsum(right) / np.arange(1, len(right) + 1))[right].mean())
    return float(np.mean(precisions))


class Measured(NamedTuple):
    """Seconds, GiB before and at most, mAP."""

    seconds: float
    held: float
    peak: float
    score: float


def measure(work: str, size: str) -> Measured:
    """Do `work` once; the memory before it is what the embeddings take."""
    queries, images, identities = SIZES[size]
    query, gallery = embedded(queries, identities, 1), embedded(images, identities, 2)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    if work == "whole matrix":
        score = whole_matrix(query, gallery)
    else:
        reranking = Reranking() if work == "re-ranked" else None
        score = retrieval_scores(query, gallery, "euclidean", reranking).metrics()["map"]
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Measured(seconds, held / 2**20, peak / 2**20, score)


def rows(quick: bool = False, msmt17: bool = False, rerank: bool = False) -> Iterator[Row]:
    turns = [[measured(work, "market1501") for work in ("whole matrix", "in blocks")] for _ in range(1 if quick else 3)]
    whole, blocks = turns[0]
    assert abs(whole.score - blocks.score) < 1e-4
    ratios, note = [a.seconds / b.seconds for a, b in turns], f"{duration(whole.seconds)} ÷ {duration(blocks.seconds)}"
    name = "mAP of Market-1501's size"
    yield of_turns(f"{name} by one argsort of all distances", "in blocks", ratios, note)
    yield of_counts(f"{name} in blocks, memory", "by one argsort", blocks.peak, whole.peak, "GiB")
    others = [("in blocks", "msmt17")] * msmt17 + [("re-ranked", "market1501")] * rerank
    for work, size in [*others, *[("re-ranked", "msmt17")] * (msmt17 and rerank)]:
        found = measured(work, size)
        note = f"{duration(found.seconds)}, {found.peak:.2f} GiB at most ({found.held:.2f} GiB before)"
        yield of_turns(f"mAP of {size} {work}", f"{name} in blocks", [found.seconds / blocks.seconds], note)


def measured(work: str, size: str) -> Measured:
    return Measured(*in_a_process(measure, work, size))


if __name__ == "__main__":
    run(rows)
