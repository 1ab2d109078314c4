"""Maps that know nothing of the model: what an explanation has to beat.

The random map is as coarse as a class activation map. One of single pixels would not be a fair floor: pixels taken out
here and there ruin a picture for any network, wherever they are.
"""

from __future__ import annotations

import zlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.report.attention_measures import floors

CELLS = 7  # a side of the random map, as a network of stride 32 has for 224 pixels


def random_map(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, H, W]: even noise of `CELLS`² cells, smoothly enlarged; an image's noise is always the same."""
    seeds = [zlib.crc32(image.numpy().tobytes()) for image in images.detach().float().cpu()]
    cells = torch.stack([torch.rand(1, CELLS, CELLS, generator=torch.Generator().manual_seed(s)) for s in seeds])
    return F.interpolate(cells, images.shape[2:], mode="bilinear")[:, 0]


def centre_map(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, H, W]: a Gaussian about the middle, whose standard deviation is a quarter of the side."""
    return torch.from_numpy(floors(*images.shape[2:], len(images))["centre"]).float()
