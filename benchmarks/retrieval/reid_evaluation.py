"""Ranking a gallery of Market-1501's size: time and memory, against one argsort of the whole distance matrix.

`--msmt17` measures MSMT17's size too (some minutes), `--rerank` re-ranking. Each measurement is a process of its own, so
that its peak memory is its own.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import torch

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


def measure(work: str, size: str) -> None:
    """Do `work` once and print its time and what it adds to the memory that the embeddings take."""
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
    print(f"{work},{seconds},{held / 2**20},{peak / 2**20},{score}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--msmt17", action="store_true")
    parser.add_argument("--rerank", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        return measure(*arguments.measure)
    for size in ("market1501", "msmt17")[: 1 + arguments.msmt17]:
        works = ["in blocks"] + ["whole matrix"] * (size == "market1501") + ["re-ranked"] * arguments.rerank
        seconds = {}
        for work in works:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.retrieval.reid_evaluation", "--measure", work, size],
                capture_output=True,
                text=True,
            )
            done.check_returncode()
            _, taken, held, peak, score = done.stdout.strip().split(",")
            seconds[work] = float(taken)
            print(
                f"{size}, {' × '.join(f'{n:,}' for n in SIZES[size][:2])} × {DIMENSIONS}, {work}: {float(taken):.1f} s, "
                f"peak {float(peak):.2f} GiB ({float(held):.2f} GiB before), mAP {float(score):.4f}",
                flush=True,
            )
        if "whole matrix" in seconds:
            print(
                f"{size}: in blocks {seconds['whole matrix'] / seconds['in blocks']:.1f} × as fast as the whole matrix"
            )
    return None


if __name__ == "__main__":
    main()
