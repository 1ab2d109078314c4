"""The batch-hard triplet loss (Hermans et al., arXiv 1703.07737, eq. 5) from pytorch-metric-learning's parts."""

from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn

from lib.errors import WorkbookValueError


class BatchHardTriplet(nn.Module):
    """The mean over anchors a of f(max_p d(a, p) − min_n d(a, n)): the farthest positive, the nearest negative.

    d is the Euclidean distance of the embeddings as they are, not normalised. f is ln(1 + eˣ) with `margin=None`, the
    soft margin that TransReID and so DCAL's recipe use, else max(0, x + margin). The mean is over all anchors, also
    those that are at 0; an anchor whose identity has no other image in the batch is left out.

    Raises:
        WorkbookValueError: a margin that is not positive.
    """

    def __init__(self, margin: float | None = None) -> None:
        super().__init__()
        if margin is not None and not margin > 0:
            raise WorkbookValueError(f"margin must be above 0, or None for the soft margin, not {margin!r}.")
        distance = LpDistance(normalize_embeddings=False)
        self.miner = BatchHardMiner(distance=distance)
        self.loss = TripletMarginLoss(
            margin or 0.0, smooth_loss=margin is None, distance=distance, reducer=MeanReducer()
        )

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Embeddings [B, D], identities [B] → a scalar.

        Raises:
            WorkbookValueError: a batch of one identity, or without two images of any: it has no triplets.
        """
        embeddings = embeddings.float()  # distances of bfloat16 would tie
        triplets = self.miner(embeddings, identities)
        if len(triplets[0]) == 0:
            raise WorkbookValueError(
                f"{len(identities)} images of {len(identities.unique())} identities hold no triplet: a batch needs two "
                "identities, one of them with two images. Draw batches with IdentityBatches."
            )
        return self.loss(embeddings, identities, triplets)
