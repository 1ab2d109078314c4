"""Noisy linear imputation (Rong et al., ROAD, arXiv 2202.00449, section 4.3): holes filled from their surroundings.

Each missing pixel is the weighted mean of its eight neighbours (1/6 beside, 1/12 across a corner; those outside the
image do not count), known or missing, all channels alike. That is a linear system with one unknown a missing pixel,
symmetric and positive definite; conjugate gradients solve it for a whole batch at once, where public code factorises a
sparse matrix for each image. A little noise, the same for every image, then hides how smooth the filling is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.errors import WorkbookValueError

NOISE = 0.01  # standard deviation, in what a network is shown
TOLERANCE = 1e-4  # of the residual, relative to that of the start: far below the noise
MOST_STEPS = 2000  # a hole takes about as many steps as it is wide


def imputed(images: Tensor, missing: Tensor, noise: float = NOISE) -> Tensor:
    """`images` [N, C, H, W] with the pixels `missing`, bool [N, H, W], filled in.

    Raises:
        WorkbookValueError: an image of which nothing is known.
    """
    missing = missing.unsqueeze(1)
    if missing.flatten(1).all(1).any():
        raise WorkbookValueError("An image with no known pixel cannot be filled in: leave some pixels.")
    filled = torch.where(missing, _solve(images, missing), images)
    grain = noise * torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(0)).to(images)
    return torch.where(missing, filled + grain, filled)


def _solve(images: Tensor, missing: Tensor) -> Tensor:
    """The missing pixels, by conjugate gradients with the diagonal as preconditioner."""
    weights = _neighbours(torch.ones_like(images[:1, :1]))  # sum of the weights inside the image
    known = images.where(~missing, 0)

    def system(x: Tensor) -> Tensor:
        return (weights * x - _neighbours(x)).where(missing, 0)

    # Start with the mean of what is known: holes are wide, and far from 0.
    mean = known.sum((2, 3), keepdim=True) / (~missing).sum((2, 3), keepdim=True)
    x = mean.expand_as(images).where(missing, 0)
    residual = _neighbours(known).where(missing, 0) - system(x)
    direction = scaled = residual / weights
    product = _dot(residual, scaled)
    enough = TOLERANCE**2 * product
    for _ in range(MOST_STEPS):
        if (product <= enough).all():
            break
        moved = system(direction)
        step = product / _dot(direction, moved).clamp(min=torch.finfo(x.dtype).tiny)
        x = x + step * direction
        residual = residual - step * moved
        scaled = residual / weights
        product, last = _dot(residual, scaled), product
        direction = scaled + product / last.clamp(min=torch.finfo(x.dtype).tiny) * direction
    return x


def _neighbours(x: Tensor) -> Tensor:
    """The weighted sum of each pixel's eight neighbours, [N, C, H, W]; nothing comes from outside."""
    side, corner = 1 / 6, 1 / 12
    kernel = x.new_tensor([[corner, side, corner], [side, 0, side], [corner, side, corner]])
    return F.conv2d(x.flatten(0, 1).unsqueeze(1), kernel[None, None], padding=1).view_as(x)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """[N, C, 1, 1]"""
    return (a * b).sum((2, 3), keepdim=True)
