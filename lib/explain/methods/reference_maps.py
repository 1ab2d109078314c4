"""Maps that know nothing of the model: what an explanation has to beat.

The random map is as coarse as a class activation map, the noise as fine as a gradient: fineness alone changes scores.
Single pixels that are left out here and there are filled in again from their neighbours, so that ROAD's LeRF rewards any
map of single pixels about the middle; without a reference of that kind, noise would beat them all.
"""

import zlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.evaluation.attention_measures import reference_maps

CELLS = 7  # a side of the random map, as a network of stride 32 has for 224 pixels


def random_map(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, H, W]: even noise of `CELLS`² cells, smoothly enlarged; an image's noise is always the same."""
    return F.interpolate(_noise(images, CELLS, CELLS).unsqueeze(1), images.shape[2:], mode="bilinear")[:, 0]


def noise_map(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, H, W]: even noise of single pixels times the centre map; an image's noise is always the same."""
    return _noise(images, *images.shape[2:]) * centre_map(model, images, targets)


def centre_map(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, H, W]: a Gaussian about the middle, whose standard deviation is a quarter of the side."""
    return torch.from_numpy(reference_maps(*images.shape[2:], len(images))["centre"]).float()


def _noise(images: Tensor, height: int, width: int) -> Tensor:
    """[B, height, width]: numbers from 0 to 1, drawn with the image itself as seed."""
    seeds = [zlib.crc32(image.numpy().tobytes()) for image in images.detach().float().cpu()]
    return torch.stack([torch.rand(height, width, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
