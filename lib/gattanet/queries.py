"""How far global queries agree with one another: between classes and between passes."""

import torch
from einops import einsum
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from lib.errors import WorkbookValueError


def class_agreement(queries: Tensor, labels: Tensor) -> Tensor:
    """[P, K, K]: the mean cosine of the queries of two different images, one of each class, pass by pass.

    Args:
        queries: [B, P, d], `GAttANet.maps()["queries"]`.
        labels: [B], whole numbers from 0 to K−1.

    An entry without such a pair of images is NaN.

    Raises:
        WorkbookValueError: not one label for each image.
    """
    if labels.shape != queries.shape[:1]:
        raise WorkbookValueError(f"{len(queries)} images and labels of shape {list(labels.shape)}: give one for each.")
    unit = normalize(queries, dim=2)
    members = one_hot(labels).to(unit)  # [B, K]
    sums = einsum(members, unit, "b k, b p d -> p k d")
    totals = sums @ sums.mT
    selves = torch.diag_embed(einsum(members, unit.square().sum(2), "b k, b p -> p k"))  # no image with itself
    counts = members.sum(0)
    return (totals - selves) / (torch.outer(counts, counts) - torch.diag(counts))


def pass_agreement(queries: Tensor) -> Tensor:
    """[P, P]: the cosine of an image's queries in two passes, mean over the images; `queries` is [B, P, d]."""
    unit = normalize(queries, dim=2)
    return (unit @ unit.mT).mean(0)
