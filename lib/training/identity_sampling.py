"""P×K batches for metric learning: P identities with K images each, as the batch-hard triplet loss wants them.

Hermans et al., arXiv 1703.07737, section 2; the batches are those of pytorch-metric-learning's MPerClassSampler.
Known deviation from DCAL's recipe: TransReID's sampler deals out each identity's images once an epoch; here every
batch is drawn anew, so that some images are seen twice in an epoch and others in the next.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions
from torch.utils.data import Sampler

from lib.errors import WorkbookValueError, positive


class IdentityBatches(Sampler[list[int]]):
    """Batches of positions 0…n−1: `identities` different ones, `images` of each; ⌊n / PK⌋ an epoch, at least one.

    The images of an identity that has fewer than K are drawn with replacement. The batches depend on (seed, epoch)
    alone, so an interrupted run goes on as if nothing had happened.

    Raises:
        WorkbookValueError: fewer identities than a batch needs, or sizes that are not positive; P = 1 has no negatives
            and K = 1 no positives.
    """

    def __init__(self, labels: Sequence[int], identities: int = 16, images: int = 4, seed: int = 0) -> None:
        positive(identities=identities, images=images)
        self.labels = np.asarray(labels)
        self.identities, self.images, self.seed, self.epoch = identities, images, seed, 0
        if min(identities, images) < 2:
            raise WorkbookValueError(
                f"A batch of {identities} identities × {images} images has no triplets: give both at least 2."
            )
        shown = len(np.unique(self.labels))
        if shown < identities:
            raise WorkbookValueError(
                f"A batch wants {identities} identities of {images} images; the training part shows {shown}: "
                "lower batch_size, or train on more identities."
            )

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return max(1, len(self.labels) // (self.identities * self.images))

    def __iter__(self) -> Iterator[list[int]]:
        return iter(np.array(self._drawn()).reshape(len(self), -1).tolist())

    def _drawn(self) -> list[int]:
        """The positions of an epoch, drawn by a generator of its own instead of numpy's global one."""
        size = self.identities * self.images
        # A new sampler each time: it shuffles its identities in place, and would not forget the epochs before.
        sampler = MPerClassSampler(self.labels, self.images, size, length_before_new_iter=len(self) * size)
        before = common_functions.NUMPY_RANDOM
        common_functions.NUMPY_RANDOM = np.random.default_rng([self.seed, self.epoch])
        try:
            return list(sampler)
        finally:
            common_functions.NUMPY_RANDOM = before
