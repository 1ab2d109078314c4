"""P×K batches for metric learning: P identities with K images each, as the batch-hard triplet loss wants them.

Hermans et al., arXiv 1703.07737. An epoch goes through the training images as TransReID's sampler (and so DCAL's
recipe) does: each identity's images are shuffled and dealt out by K. pytorch-metric-learning's MPerClassSampler draws
each batch anew, so that an epoch misses some identities, gives an identity of two images four copies of one of them as
often as not, and draws from numpy's global generator, which a resumed run could not set back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from lib.errors import WorkbookValueError, positive


class IdentityBatches(Sampler[list[int]]):
    """Batches of positions 0…n−1: `identities` different ones, `images` of each.

    An identity with n images is in ⌊n / K⌋ batches of an epoch or fewer, with K different images in each; one with fewer than K in
    one batch, each image as often as the others or once more. What does not come out even is left out, another part in
    every epoch. The number of batches depends on the labels alone and the batches on (seed, epoch) alone, so an
    interrupted run goes on as if nothing had happened.

    Raises:
        WorkbookValueError: fewer identities than a batch needs, or sizes that are not positive; P = 1 has no negatives
            and K = 1 no positives.
    """

    def __init__(self, labels: Sequence[int], identities: int = 16, images: int = 4, seed: int = 0) -> None:
        positive(identities=identities, images=images)
        _, labels = np.unique(np.asarray(labels), return_inverse=True)
        self.positions = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
        self.identities, self.images, self.seed, self.epoch = identities, images, seed, 0
        if min(identities, images) < 2:
            raise WorkbookValueError(
                f"A batch of {identities} identities × {images} images has no triplets: give both at least 2."
            )
        if len(self.positions) < identities:
            raise WorkbookValueError(
                f"A batch wants {identities} identities of {images} images; the training part shows {len(self.positions)}: "
                "lower batch_size, or train on more people."
            )
        chunks = np.array([max(1, len(p) // images) for p in self.positions])
        batches = np.arange(1, chunks.sum() // identities + 1)
        # A batch holds an identity once, so b batches take at most b chunks of it: as many as can be filled.
        fillable = np.minimum(chunks, batches[:, None]).sum(axis=1) >= identities * batches
        self.batches = int(batches[fillable].max())
        self.chunks = np.minimum(chunks, self.batches)

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        dealt = [chunk for i in random.permutation(len(self.positions)) for chunk in self._chunks(i, random)]
        kept = random.permutation(len(dealt))[: self.batches * self.identities]
        dealt = [dealt[i] for i in np.sort(kept)]
        # An identity's chunks stand next to each other and are no more than there are batches, so every n-th of all
        # chunks makes a batch of different identities (McNaughton's wrap-around rule, Management Science 1959).
        for batch in random.permutation(self.batches):
            yield np.concatenate(dealt[batch :: self.batches]).tolist()

    def _chunks(self, identity: int, random: np.random.Generator) -> np.ndarray:
        """The images of one identity in this epoch, [chunks, K]."""
        count = self.chunks[identity]
        return np.resize(random.permutation(self.positions[identity]), (count, self.images))
