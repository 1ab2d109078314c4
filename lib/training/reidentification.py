"""The LightningModule of re-identification: every branch learns identities and, by triplets, distances.

DCAL's recipe (arXiv 2205.02151, section 4.1): cross-entropy on a branch's logits plus the batch-hard triplet loss on
its class token. The paper does not say whether PWCA has triplets too; here it has none, since its class token is no
part of the embedding.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from lib.errors import WorkbookError
from lib.retrieval.ranking import retrieval_scores
from lib.training.classifier import Shown
from lib.training.config import RunConfig
from lib.training.fine_grained import FineGrained
from lib.training.identities import embedded
from lib.training.triplet import BatchHardTriplet


class ReIdentification(FineGrained):
    """Trains a `DCALNet` to tell identities apart that it has never seen.

    A validation batch shows rows of `identities`, which has the columns `identity`, `camera` and `is_query`. The
    identities of validation are no classes of the network's head, so the validation loss is that of triplets over all.
    """

    def __init__(
        self,
        config: RunConfig,
        model: nn.Module,
        classes: Sequence[str],
        counts: Sequence[int],
        identities: pd.DataFrame,
    ) -> None:
        super().__init__(config, model, classes, counts)
        self.identities = identities
        self.triplet = BatchHardTriplet(config.triplet_margin)
        self.embedded: list[tuple[Tensor, Tensor]] = []  # of this validation: embeddings and rows

    def losses(self, images: Tensor, labels: Tensor, shown: Shown | None = None) -> tuple[Tensor, Tensor]:
        branches = self.branches(images, labels, shown)
        losses = {"sa": self.loss(branches.sa, labels) + self.triplet(branches.sa_token, labels)}
        if branches.glca is not None:
            losses["glca"] = self.loss(branches.glca, labels) + self.triplet(branches.glca_token, labels)
        if branches.pwca is not None:
            losses["pwca"] = self.loss(branches.pwca, labels)
        return self.model.weighting(**losses), branches.sa

    def validation_step(self, batch: tuple[Tensor, Tensor, Shown], batch_idx: int) -> None:
        """Keep the embeddings [B, D] of a batch until the epoch's end, on the CPU."""
        images, _, rows = batch
        self.embedded.append((self.kept.embed(images).float().cpu(), rows.cpu()))

    def on_validation_epoch_end(self) -> None:
        """The triplet loss of all embeddings, and how the gallery answers the queries.

        Raises:
            WorkbookError: an embedding is not finite.
        """
        vectors, rows = map(torch.cat, zip(*self.embedded, strict=True))
        self.embedded.clear()
        if not torch.isfinite(vectors).all():
            raise WorkbookError(
                f"The embeddings became infinite in epoch {self.current_epoch + 1}: lower lr ({self.config.lr}), or "
                "train with precision='32'."
            )
        table = self.identities.loc[rows.numpy()]
        self.val_loss.update(self.triplet(vectors, torch.tensor(table["identity"].to_numpy())), len(table))
        is_query = table["is_query"].to_numpy(copy=True)  # torch wants one that it may write to
        query, gallery = (embedded(vectors[part], table[part]) for part in (is_query, ~is_query))
        self.scores = retrieval_scores(query, gallery, self.config.distance, skip_unmatched=True).metrics()

    def validation_row(self) -> dict[str, float]:
        """`val_accuracy` is CMC-1: the share of queries that are answered right at once."""
        return {"val_accuracy": self.scores["cmc_1"], **{f"val_{name}": v for name, v in self.scores.items()}}
