"""Noisy linear imputation (Rong et al., ROAD, arXiv 2202.00449, section 4.3): holes filled from their surroundings.

Each missing pixel is the weighted mean of its eight neighbours (1/6 beside, 1/12 across a corner; those outside the
image do not count), known or missing, all channels alike. That is a linear system with one unknown a missing pixel,
symmetric and positive definite. Conjugate gradients solve it for a whole batch at once, on any device, where public code
factorises a sparse matrix for each image; they begin with the holes filled from coarser and coarser copies of the
image, which gets right what they are slow at. A little noise, the same for every image, then hides how smooth the
filling is.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.errors import WorkbookValueError

NOISE = 0.01  # standard deviation, in what a network is shown
TOLERANCE = 1e-3  # of the residual, relative to the right-hand side: off by half the noise on average
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
    """The missing pixels, by conjugate gradients with the diagonal as preconditioner; 0 elsewhere."""
    weights = _neighbours(torch.ones_like(images[:1, :1]))  # sum of the weights inside the image
    tiny, known = torch.finfo(images.dtype).tiny, ~missing

    def system(x: Tensor) -> Tensor:
        return (weights * x).sub_(_neighbours(x)).masked_fill_(known, 0)

    surroundings = images.masked_fill(missing, 0)
    right = _neighbours(surroundings).masked_fill_(known, 0)
    x = _from_coarser(surroundings, known.to(images)).masked_fill(known, 0)
    residual = right - system(x)
    direction = residual / weights
    product, enough = _dot(residual, direction), TOLERANCE**2 * _dot(right, right / weights)
    for _ in range(MOST_STEPS):
        if (product <= enough).all():
            break
        moved = system(direction)
        step = product / _dot(direction, moved).clamp(min=tiny)
        x.addcmul_(step, direction)  # in place, as all here: the time goes into memory
        residual.addcmul_(step, moved, value=-1)
        scaled = residual / weights
        product, last = _dot(residual, scaled), product
        direction.mul_(product / last.clamp(min=tiny)).add_(scaled)
    return x


def _from_coarser(sums: Tensor, shares: Tensor) -> Tensor:
    """Means of what is known, from `sums` [N, C, H, W] over it and the `shares` [N, 1, H, W] that are; where nothing
    is, those of an image of half the size."""
    if shares.all():
        return sums / shares
    halved = (F.avg_pool2d(t, 2, ceil_mode=True, count_include_pad=False) for t in (sums, shares))
    coarser = F.interpolate(_from_coarser(*halved), sums.shape[2:], mode="bilinear")
    return torch.where(shares > 0, sums / shares.clamp(min=torch.finfo(sums.dtype).tiny), coarser)


def _neighbours(x: Tensor) -> Tensor:
    """The weighted sum of each pixel's eight neighbours, [N, C, H, W]; nothing comes from outside.

    A third of the 3×3 product of (½, 1, ½) with itself has these weights, and 1/3 in its middle.
    """
    x, middle = F.pad(x, (1, 1, 1, 1)), x
    x = (x[..., :-2] + x[..., 2:]).div_(2).add_(x[..., 1:-1])
    x = (x[..., :-2, :] + x[..., 2:, :]).div_(2).add_(x[..., 1:-1, :])
    return x.sub_(middle).div_(3)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """[N, C, 1, 1]"""
    return torch.linalg.vecdot(a.flatten(2), b.flatten(2))[..., None, None]
