"""Losses for imbalanced classes, each doing what its name says. Logits [B, K] and labels, [B] or as shares [B, K] → a scalar."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data import SAMPLERS
from lib.errors import WorkbookError, WorkbookValueError


class LossNotFinite(WorkbookError):
    """A training loss that is no number: `shown` are the images that it came of, `facts` what is known of that step."""

    def __init__(self, message: str, shown: Tensor | list[str], facts: dict[str, Any]) -> None:
        super().__init__(message)
        self.shown, self.facts = shown, facts


class FocalLoss(nn.Module):
    """−α_t (1 − p_t)^γ log p_t on the softmax (Lin et al., arXiv 1708.02002, eq. 5), averaged over the batch.

    `alpha` is one factor for all classes, one a class, or None for 1. With γ = 0 and no α it is cross-entropy. Shares of
    several classes, as mixup makes them, give the sum of these classes' losses, each by its share.
    """

    def __init__(self, alpha: float | Sequence[float] | None = 0.25, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("alpha", torch.tensor(1.0 if alpha is None else alpha, dtype=torch.float32))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [B, K] and labels, [B] or as shares [B, K] → a scalar"""
        log_p = F.log_softmax(logits.float(), dim=-1)
        if labels.ndim == 2:
            return -(labels * self.alpha * (1 - log_p.exp()).pow(self.gamma) * log_p).sum(dim=1).mean()
        log_p = log_p.gather(1, labels[:, None]).squeeze(1)
        alpha = self.alpha if self.alpha.ndim == 0 else self.alpha[labels]
        return -(alpha * (1 - log_p.exp()).pow(self.gamma) * log_p).mean()


def class_balanced_weights(counts: Sequence[int], beta: float) -> Tensor:
    """(1 − β)/(1 − β^n) a class (Cui et al., arXiv 1901.05555, eq. 4), scaled to mean 1."""
    counts = torch.as_tensor(counts, dtype=torch.float64)
    weights = (1 - beta) / (1 - beta**counts)
    return (weights / weights.mean()).float()


class LogitAdjusted(nn.Module):
    """−log(π_y e^f_y / Σ π_k e^f_k), cross-entropy of logits f to which the log of each class's share π of the images shown
    is added (Menon et al., arXiv 2007.07314, eq. 10, τ = 1): the network itself answers as if all classes were as common.
    """

    def __init__(self, shares: Tensor, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.register_buffer("log_shares", shares.log())

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [B, K] and labels, [B] or as shares [B, K] → the mean over the batch, a scalar; `smoothing` is PyTorch's
        label smoothing."""
        return F.cross_entropy(logits + self.log_shares, labels, label_smoothing=self.smoothing)


def shown_shares(counts: Sequence[int], sampler: str) -> Tensor:
    """The share of each class in what `sampler`, one of SAMPLERS, shows of `counts` images; [K], float32. A class without
    images counts as one of a single image."""
    images = np.clip(np.asarray(counts, dtype=float), 1, None)
    shown = images * SAMPLERS[sampler](images)
    return torch.as_tensor(shown / shown.sum(), dtype=torch.float32)


def _focal(
    counts: Sequence[int], alpha: float | Sequence[float] | None = 0.25, gamma: float = 2.0, **others: Any
) -> FocalLoss:
    if isinstance(alpha, Sequence) and len(alpha) != len(counts):
        raise WorkbookValueError(f"focal_alpha has {len(alpha)} values; the data set has {len(counts)} classes.")
    return FocalLoss(alpha, gamma)


def _class_balanced(counts: Sequence[int], beta: float = 0.999, gamma: float = 2.0, **others: Any) -> FocalLoss:
    return FocalLoss(class_balanced_weights(counts, beta).tolist(), gamma)


def _logit_adjusted(
    counts: Sequence[int], sampler: str = "none", smoothing: float = 0.1, **others: Any
) -> LogitAdjusted:
    return LogitAdjusted(shown_shares(counts, sampler), smoothing)


# name → build(counts, **values). Another loss is one line: LOSSES["poly"] = lambda counts, gamma, **others: Poly(gamma)
LOSSES: dict[str, Callable[..., nn.Module]] = {
    "focal": _focal,
    "cross_entropy": lambda counts, **others: nn.CrossEntropyLoss(),
    "class_balanced": _class_balanced,
    "label_smoothing": lambda counts, smoothing=0.1, **others: nn.CrossEntropyLoss(label_smoothing=smoothing),
    "logit_adjusted": _logit_adjusted,
}
COUNTING = ("class_balanced", "logit_adjusted")  # that have to know how many images a class has


def build_loss(name: str, counts: Sequence[int], **values: Any) -> nn.Module:
    """The loss `name` of LOSSES, which takes what it needs of `values`; `counts` are training images of each class.

    Raises:
        WorkbookValueError: more or fewer values of `alpha` than classes.
    """
    return LOSSES[name](counts, **values)
