"""Evidence of single pixels, from gradients with respect to the image.

What speaks for the class counts (a sum over the colours, negative ones cut off), against an image of the mean colour,
which is 0 in what a network is shown.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lib.errors import WorkbookError
from lib.explain.targets import chosen, scores

STEPS = 32  # of the integral along the way from the mean colour to the image
AT_ONCE = 32  # of these points of few images


def gradient_x_input(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, H, W]: the positive part of Σ_c x_c ∂y/∂x_c (Shrikumar et al., arXiv 1605.01713)."""
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(scores(model(images).float(), targets).sum(), images)
    return _evidence(gradient * images.detach())


def integrated_gradients(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, H, W]: the positive part of `integrated`, summed over the colours."""
    return _evidence(integrated(model, images, targets))


def integrated(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """Integrated gradients (Sundararajan et al., arXiv 1703.01365) by captum, [B, 3, H, W], from the mean colour on.

    They sum to y(x) − y(0), but for the error of the integral by `STEPS` points.

    Raises:
        WorkbookError: captum is not installed.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise WorkbookError(
            "Integrated gradients need captum, which is not installed: pip install captum, or the workbook's extra, "
            "pip install -e '.[captum]'."
        ) from error
    with torch.no_grad():
        classes = chosen(model(images), targets)
    attribute = IntegratedGradients(lambda x: model(x).float()).attribute
    images = images.clone().requires_grad_()
    at_once = max(len(images), AT_ONCE)
    return attribute(images, 0, classes, n_steps=STEPS, internal_batch_size=at_once).detach()


def _evidence(attributions: Tensor) -> Tensor:
    return attributions.sum(1).clamp(min=0)
