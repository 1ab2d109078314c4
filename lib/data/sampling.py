"""Batches of row numbers: which images an epoch sees, in which order, the same on every run of one seed."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

from lib.errors import choose

# Weight of an image from its class's size n. On HAM10000 from mild to full balance: none, log, sqrt, inverse.
SAMPLERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda n: np.ones(len(n)),
    "log": lambda n: np.log1p(n.sum() / n),
    "sqrt": lambda n: n**-0.5,
    "inverse": lambda n: 1.0 / n,
}


def mixed_seed(seed: int, *counts: int) -> int:
    """A seed of 64 bits for torch that follows `seed` and `counts`, such as an epoch and a batch."""
    for count in counts:
        seed = seed * 1_000_003 + count
    return seed % 2**64


class EpochBatches(Sampler[list[int]]):
    """Shuffled batches of positions 0…n−1 for training.

    `none` visits every image once an epoch; the others draw n images with replacement, each with its class's weight.
    The order is a function of (seed, epoch) alone, so an interrupted run goes on as if nothing had happened. A last
    batch of fewer than `batch_size` images is dropped: BatchNorm has no statistics on one image.
    """

    def __init__(self, labels: np.ndarray, batch_size: int, sampler: str = "sqrt", seed: int = 0) -> None:
        self.batch_size = min(batch_size, len(labels))
        self.seed, self.epoch, self.size = seed, 0, len(labels)
        self.replace = choose("sampler", sampler, SAMPLERS) != "none"
        counts = np.bincount(labels).clip(min=1)
        weights = SAMPLERS[choose("sampler", sampler, SAMPLERS)](counts.astype(float))[labels]
        self.weights = torch.as_tensor(weights / weights.sum(), dtype=torch.float64)

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        if self.replace:
            order = torch.multinomial(self.weights, self.size, replacement=True, generator=generator)
        else:
            order = torch.randperm(self.size, generator=generator)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[start : start + self.batch_size].tolist()


class BatchShares(Sampler[list[int]]):
    """The share of one of several processes in every batch: as many images as each other's, standing side by side."""

    def __init__(self, batches: Sampler[list[int]], rank: int, processes: int) -> None:
        self.batches, self.rank, self.processes = batches, rank, processes

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose batches are shared; Lightning calls this at the start of each."""
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            share = len(batch) // self.processes
            yield batch[self.rank * share : (self.rank + 1) * share]
