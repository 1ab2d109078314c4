"""Who distracts whom in PWCA: for every image of a batch another image of the same batch.

The paper draws at random (arXiv 2205.02151, section 3.3); the other strategies are for ablations.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lib.errors import WorkbookValueError

Strategy = Callable[[Tensor, Tensor | None, torch.Generator | None], Tensor]


def random(labels: Tensor, embeddings: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
    """Any other image, each equally likely."""
    return _draw(_others(labels), generator)


def inter_class(labels: Tensor, embeddings: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
    """An image of another class; any other image where the batch has one class only."""
    others = _others(labels)
    return _draw(_or_else(others & (labels[:, None] != labels), others), generator)


def intra_class(labels: Tensor, embeddings: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
    """Another image of the same class; any other image for one that is alone in its class."""
    others = _others(labels)
    return _draw(_or_else(others & (labels[:, None] == labels), others), generator)


def hard(labels: Tensor, embeddings: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
    """The image of another class that is nearest by Euclidean distance of the embeddings [B, D]; the nearest other
    image where the batch has one class only.

    Raises:
        WorkbookValueError: there are no embeddings.
    """
    others = _others(labels)
    if embeddings is None or len(embeddings) != len(labels):
        given = None if embeddings is None else list(embeddings.shape)
        raise WorkbookValueError(
            f"The pair strategy 'hard' needs an embedding of each of {len(labels)} images: {given}."
        )
    allowed = _or_else(others & (labels[:, None] != labels), others)
    distances = torch.cdist(embeddings.detach().float(), embeddings.detach().float())
    finite = distances.nan_to_num(nan=torch.finfo().max, posinf=torch.finfo().max)
    return finite.masked_fill(~allowed.to(distances.device), torch.inf).argmin(1)


# name → (labels [B], embeddings [B, D] or None, generator) → partners, an index [B]; never the image itself.
PAIR_STRATEGIES: dict[str, Strategy] = {
    "random": random,
    "inter_class": inter_class,
    "intra_class": intra_class,
    "hard": hard,
}


def _others(labels: Tensor) -> Tensor:
    """[B, B], True but on the diagonal."""
    if labels.ndim != 1 or len(labels) < 2:
        raise WorkbookValueError(
            f"A pair needs two images, and labels of shape {list(labels.shape)} are no batch of at least two: "
            "raise batch_size, and drop a last batch of one."
        )
    return ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)


def _or_else(allowed: Tensor, fallback: Tensor) -> Tensor:
    """`allowed`, but `fallback` in rows that allow nothing."""
    return torch.where(allowed.any(1, keepdim=True), allowed, fallback)


def _draw(allowed: Tensor, generator: torch.Generator | None) -> Tensor:
    """One of the allowed columns in each row, each equally likely."""
    device = allowed.device if generator is None else generator.device
    lots = torch.rand(allowed.shape, generator=generator, device=device).to(allowed.device)
    return lots.masked_fill(~allowed, -1.0).argmax(1)
