"""Who distracts whom in PWCA: for every image of a batch another image of the same batch.

The paper draws at random (arXiv 2205.02151, section 3.3); the other strategies are for ablations.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lib.errors import WorkbookValueError


@dataclass(frozen=True)
class PairStrategy:
    """Chooses partners within a batch, never the image itself.

    `wanted` tells from "of the same class" [B, B] which pairs are; an image that has none takes any other. One of them
    is drawn, each equally likely, or with `nearest` the one whose embedding is nearest by Euclidean distance.
    """

    wanted: Callable[[Tensor], Tensor]
    nearest: bool = False

    def __call__(
        self,
        labels: Tensor,
        embeddings: Tensor | None = None,
        generator: torch.Generator | None = None,
        images: Tensor | None = None,
    ) -> Tensor:
        """Labels [B] → partners, an index [B].

        `embeddings` [B, D] are for the nearest. `images` [B] numbers the images where one can be in the batch several
        times, as with a sampler that draws with replacement: equal numbers are one image. In a batch that shows a
        single image its copies have to do; they distract nobody.

        Raises:
            WorkbookValueError: the batch has less than two entries, or embeddings are needed and missing.
        """
        others = _others(labels, images)
        allowed = _or_else(others & self.wanted(labels[:, None] == labels), others)
        return _nearest(allowed, embeddings) if self.nearest else _draw(allowed, generator)


def _itself(same: Tensor) -> Tensor:
    return same


PAIR_STRATEGIES = {
    "random": PairStrategy(torch.ones_like),
    "inter_class": PairStrategy(torch.logical_not),
    "intra_class": PairStrategy(_itself),
    "hard": PairStrategy(torch.logical_not, nearest=True),
}


def _others(labels: Tensor, images: Tensor | None) -> Tensor:
    """[B, B], True where the column shows another image than the row."""
    if not isinstance(labels, Tensor):
        raise WorkbookValueError(f"Labels are a tensor, one of each image of a batch, not a {type(labels).__name__}.")
    if labels.ndim != 1 or len(labels) < 2:
        raise WorkbookValueError(
            f"A pair needs two images, and labels of shape {list(labels.shape)} are no batch of at least two: "
            "raise batch_size, and drop a last batch of one."
        )
    if images is not None and images.shape != labels.shape:
        raise WorkbookValueError(
            f"{len(labels)} labels and image numbers of shape {list(images.shape)}: give one each."
        )
    others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return others if images is None else _or_else(images[:, None] != images, others)


def _or_else(allowed: Tensor, fallback: Tensor) -> Tensor:
    """`allowed`, but `fallback` in rows that allow nothing."""
    return torch.where(allowed.any(1, keepdim=True), allowed, fallback)


def _draw(allowed: Tensor, generator: torch.Generator | None) -> Tensor:
    """One of the allowed columns in each row, each equally likely."""
    device = allowed.device if generator is None else generator.device
    lots = torch.rand(allowed.shape, generator=generator, device=device).to(allowed.device)
    return lots.masked_fill(~allowed, -1.0).argmax(1)


def _nearest(allowed: Tensor, embeddings: Tensor | None) -> Tensor:
    """The allowed column in each row whose embedding is nearest."""
    if embeddings is None or embeddings.ndim != 2 or len(embeddings) != len(allowed):
        given = None if embeddings is None else list(embeddings.shape)
        raise WorkbookValueError(
            f"The pair strategy 'hard' needs an embedding of each of {len(allowed)} images: {given}."
        )
    distances = torch.cdist(embeddings.detach().float(), embeddings.detach().float())
    finite = distances.nan_to_num(nan=torch.finfo().max, posinf=torch.finfo().max)
    return finite.masked_fill(~allowed.to(distances.device), torch.inf).argmin(1)
