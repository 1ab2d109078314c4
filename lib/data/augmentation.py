"""Random changes to a training batch, on the batch's own device, one draw per image.

Images are float [B, 3, H, W] in [0, 1] before and after; they may leave the range a little and are not clipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def affine(images: Tensor, degrees: float, scale: tuple[float, float], shift: float, flip: bool) -> Tensor:
    """Rotate by up to ±`degrees`, zoom by a factor in `scale`, move by up to ±`shift` of the side, mirror half of them.

    One resampling for all of it; what comes from outside the picture is its mirror image.
    """
    batch, device = len(images), images.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(batch, device=device).uniform_(low, high)

    angle, zoom = uniform(-degrees, degrees) * (math.pi / 180), 1 / uniform(*scale)
    mirror = uniform(0, 1).lt(0.5).float() * -2 + 1 if flip else torch.ones(batch, device=device)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    rows = [cos * mirror, -sin, uniform(-shift, shift) * 2, sin * mirror, cos, uniform(-shift, shift) * 2]
    grid = F.affine_grid(torch.stack(rows, dim=1).view(batch, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), padding_mode="reflection", align_corners=False)


def dihedral(images: Tensor) -> Tensor:
    """One of the eight symmetries of the square for each image: no pixel is interpolated."""

    def half() -> Tensor:
        return torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5

    images = torch.where(half(), images.flip(3), images)
    images = torch.where(half(), images.flip(2), images)
    return torch.where(half(), images.transpose(2, 3), images)


def jitter(images: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
    """Scale each image's brightness, contrast (about its mean) and saturation (about its grey) by 1 ± the strength."""

    def factor(strength: float) -> Tensor:
        return 1 + torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(-strength, strength)

    grey = images.mean(dim=1, keepdim=True)
    images = grey + factor(saturation) * (images - grey)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return factor(brightness) * mean + factor(contrast) * (images - mean)


def _dermoscopy(images: Tensor) -> Tensor:
    return jitter(dihedral(images), 0.1, 0.1, 0.1)


def _natural(images: Tensor) -> Tensor:
    return jitter(affine(images, degrees=15, scale=(0.8, 1.25), shift=0.1, flip=True), 0.2, 0.2, 0.2)


def _shift(images: Tensor) -> Tensor:
    return affine(images, degrees=8, scale=(0.9, 1.1), shift=0.08, flip=False)


AUGMENTATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda images: images,
    "dermoscopy": _dermoscopy,  # a lesion has no upright, and its texture is fine: symmetries, no interpolation
    "natural": _natural,  # photographs: upright, either hand
    "shift": _shift,  # characters: neither mirrored nor turned far
}
