"""The LightningModule of DCAL on classes: three branches and their uncertainty-weighted loss (arXiv 2205.02151)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from lib.dcal import PAIR_STRATEGIES, Branches
from lib.training.classifier import Classifier, Shown
from lib.training.config import RunConfig


class FineGrained(Classifier):
    """Trains a `DCALNet`: pairs are drawn within a batch, so image 2 costs no second pass.

    Validated is what the paper reports, the sum of the probabilities of SA and GLCA, and beside it each of the two:
    `val_accuracy`, `val_accuracy_sa` and `val_accuracy_glca`.
    """

    def __init__(self, config: RunConfig, model: nn.Module, classes: Sequence[str], counts: Sequence[int]) -> None:
        super().__init__(config, model, classes, counts)
        self.draw_partners = PAIR_STRATEGIES[config.pairs] if model.pwca else None
        self.branch_accuracy = nn.ModuleDict(
            {name: MulticlassAccuracy(len(classes), average="micro") for name in model.answering}
        )

    def losses(self, images: Tensor, labels: Tensor, shown: Shown | None = None) -> tuple[Tensor, Tensor]:
        """The branches' losses weighed by their uncertainties, a scalar, and the logits [B, K] of SA."""
        branches = self.branches(images, labels, shown)
        loss = self.model.compute_loss(branches.sa, branches.glca, labels, self.loss, pwca_logits=branches.pwca)
        return loss, branches.sa

    def branches(self, images: Tensor, labels: Tensor, shown: Shown | None = None) -> Branches:
        """The branches of a training batch, each image with its partner, which is another one of those `shown`."""
        if self.draw_partners is None:
            return self.model.branches(images)
        if isinstance(shown, list):  # names in a stream
            shown = torch.from_numpy(np.unique(shown, return_inverse=True)[1]).to(labels.device)
        return self.model.branches(images, lambda tokens: self.draw_partners(labels, tokens, images=shown))

    def validation_step(self, batch: tuple[Tensor, Tensor, Shown], batch_idx: int) -> None:
        images, labels, _ = batch
        branches = self.kept.branches(images)
        for name, accuracy in self.branch_accuracy.items():
            accuracy.update(getattr(branches, name).float(), labels)
        logits = self.kept.combine(branches).float()
        self.val_loss.update(self.loss(logits, labels), len(labels))
        self.val_metrics.update(logits.softmax(dim=1), labels)

    def validation_row(self) -> dict[str, float]:
        row = super().validation_row()
        for name, accuracy in self.branch_accuracy.items():
            row[f"val_accuracy_{name}"] = round(float(accuracy.compute()), 6)
            accuracy.reset()
        return row
