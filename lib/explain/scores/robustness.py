"""Robustness: does a map stay where it is while the image hardly changes?

A method explains the image x and neighbours x + δ that look the same, δ even noise within a radius, for one class. Max-sensitivity
(Yeh et al., NeurIPS 2019, arXiv 1901.09392, definition 3) is the greatest ‖Φ(x + δ) − Φ(x)‖, here as in Quantus and captum a
share of ‖Φ(x)‖; the local Lipschitz estimate (Alvarez-Melis & Jaakkola, arXiv 1806.08049, eq. 2) the greatest
‖Φ(x + δ) − Φ(x)‖ / ‖δ‖. Both take the same neighbours, and so equal Quantus' on these; by itself Quantus draws those of the
second from a normal distribution. Maps are those of `explain`, each from 0 to 1, and an empty one counts as even.

The centre never moves: that a map stays does not make it true.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError, positive
from lib.explain.methods.explain import explained
from lib.explain.methods.targets import Targets
from lib.explain.scores.complexity import even_where_empty
from lib.explain.scores.image_draws import generator_of
from lib.explain.scores.perturbed_inference import BATCH, PerturbedInference

SAMPLES = 10  # neighbours of an image
RADIUS = 0.1  # in what a network is shown: 6 of 255 grey levels where ImageNet's statistics scale the images


@dataclass(frozen=True)
class Moves:
    """How far maps moved with their images: lengths, [N, samples] of both differences and [N] of the maps themselves."""

    of_maps: np.ndarray
    of_images: np.ndarray
    lengths: np.ndarray

    @property
    def max_sensitivity(self) -> np.ndarray:
        """[N]"""
        return (self.of_maps / self.lengths[:, None]).max(1)

    @property
    def local_lipschitz(self) -> np.ndarray:
        """[N]"""
        return (self.of_maps / self.of_images).max(1)


def moves(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    method: str = "grad-cam",
    *,
    samples: int = SAMPLES,
    radius: float = RADIUS,
    seed: int = 0,
    batch_size: int = BATCH,
    precision: str = "32",
) -> Moves:
    """How far the maps of `method` move when images [N, 3, H, W] do.

    Args:
        samples: neighbours of each image, explained for what is explained of the image, by default its class.
        radius: of the even noise, in what the network is shown.
        seed: of the noise, which is the same for an image whatever the method.
        model, images, targets, method, batch_size, precision: see `explain`.

    Raises:
        WorkbookValueError: what `explain` raises, no samples, or a radius that is not above 0.
    """
    positive(samples=samples)
    if not radius > 0:
        raise WorkbookValueError(f"radius must be above 0, not {radius!r}: images that do not change move no map.")
    inference, parts = PerturbedInference(model, images, targets, batch_size), []
    for part in torch.arange(len(images)).split(max(1, batch_size // (1 + samples))):
        shown = torch.stack([with_neighbours(image, samples, radius, seed) for image in images[part]])
        rows = inference.targets_of(part.repeat_interleave(1 + samples))
        _, maps = explained(model, shown.flatten(0, 1), rows, method, batch_size=batch_size, precision=precision)
        maps = even_where_empty(maps).view(len(part), 1 + samples, -1)
        changes = [(of[:, 1:] - of[:, :1]).flatten(2).norm(dim=2) for of in (maps, shown.double())]
        parts.append((*changes, maps[:, 0].norm(dim=1)))
    return Moves(*(torch.cat(lengths).numpy() for lengths in zip(*parts, strict=True)))


def max_sensitivity(
    model: nn.Module, images: Tensor, targets: Targets = None, method: str = "grad-cam", **options: Any
) -> np.ndarray:
    """[N]: how far the maps of `method` move at most, as a share of their length; less is better. Options as of `moves`."""
    return moves(model, images, targets, method, **options).max_sensitivity


def local_lipschitz(
    model: nn.Module, images: Tensor, targets: Targets = None, method: str = "grad-cam", **options: Any
) -> np.ndarray:
    """[N]: how far the maps of `method` move at most for each step of the image; less is better. Options as of `moves`."""
    return moves(model, images, targets, method, **options).local_lipschitz


def with_neighbours(image: Tensor, samples: int = SAMPLES, radius: float = RADIUS, seed: int = 0) -> Tensor:
    """[1 + samples, C, H, W]: the image, and itself with noise."""
    noise = 2 * torch.rand(samples, *image.shape, generator=generator_of(image, seed)) - 1
    return torch.cat([image[None], image + radius * noise.to(image)])
