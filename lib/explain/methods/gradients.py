"""Evidence of single pixels, from gradients with respect to the image.

What speaks for the class counts (a sum over the colours, negative ones cut off), against an image of the mean colour,
which is 0 in what a network is shown.
"""

import torch
from torch import Tensor, nn

from lib.explain.methods.extras import needed
from lib.explain.methods.logits import differentiable, logits_of
from lib.explain.methods.targets import chosen, scores

STEPS = 32  # of the integral along the way from the mean colour to the image


def gradient_x_input(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, H, W]: the positive part of Σ_c x_c ∂y/∂x_c (Shrikumar et al., arXiv 1605.01713)."""
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(scores(logits_of(model, images).float(), targets).sum(), images)
    return _evidence(gradient * images.detach())


def integrated_gradients(model: nn.Module, images: Tensor, targets: Tensor | None, at_once: int = 1) -> Tensor:
    """[B, H, W]: the positive part of `integrated`, summed over the colours."""
    return _evidence(integrated(model, images, targets, at_once))


def integrated(model: nn.Module, images: Tensor, targets: Tensor | None, at_once: int = 1) -> Tensor:
    """Integrated gradients (Sundararajan et al., arXiv 1703.01365) by captum, [B, 3, H, W], from the mean colour on.

    They sum to y(x) − y(0), but for the error of the integral by `STEPS` points. A pass takes one point of every image,
    and where these are few more points, up to `at_once` images in all.

    Raises:
        WorkbookError: captum is not installed.
    """
    with torch.no_grad():
        classes = chosen(logits_of(model, images), targets)
    attribute = (
        needed("captum.attr").IntegratedGradients(lambda x: differentiable(logits_of(model, x)).float()).attribute
    )
    images = images.clone().requires_grad_()
    return attribute(images, 0, classes, n_steps=STEPS, internal_batch_size=max(len(images), at_once)).detach()


def _evidence(attributions: Tensor) -> Tensor:
    return attributions.sum(1).clamp(min=0)
