"""Gradients averaged over many pictures that are drawn: noisy copies (SmoothGrad), ways from other pictures (expected
gradients).

What is drawn comes from a generator of its own with a fixed seed and is the same for every image: maps do not depend on
what else is explained with them, and two images differ by nothing but themselves.
"""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn

from lib.errors import WorkbookValueError
from lib.explain.methods.logits import logits_of
from lib.explain.methods.targets import chosen, scores

SAMPLES = 32  # pictures that are drawn for each image
NOISE = 0.15  # SmoothGrad's standard deviation, as a share of an image's range


def smooth_grad(model: nn.Module, images: Tensor, targets: Tensor | None, at_once: int = 1) -> Tensor:
    """[B, H, W]: Σ_c |mean of ∂y/∂x_c over noisy copies| (SmoothGrad, Smilkov et al., arXiv 1706.03825)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(SAMPLES, 1, *images.shape[1:], generator=generator).to(images)
    spread = NOISE * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    gradient = _mean(model, images, targets, at_once, lambda some: (images + spread * noise[some], 1))
    return gradient.abs().sum(1)


def expected_gradients(
    model: nn.Module, images: Tensor, targets: Tensor | None, at_once: int = 1, baselines: Tensor | None = None
) -> Tensor:
    """[B, H, W]: the positive part of `expected`, summed over the colours."""
    return expected(model, images, targets, at_once, baselines).sum(1).clamp(min=0)


def expected(
    model: nn.Module, images: Tensor, targets: Tensor | None, at_once: int = 1, baselines: Tensor | None = None
) -> Tensor:
    """Expected gradients (Erion et al., arXiv 1906.10670, eq. 3), [B, 3, H, W]: the mean of (x − x′) ∂y/∂x at x′ + α(x − x′).

    x′ is drawn from `baselines` [M, 3, H, W], α evenly from 0 to 1. They sum to y(x) less the mean answer to the baselines,
    but for the error of `SAMPLES` draws. Without baselines x′ is noise with mean 0 and standard deviation 1, which are
    those of what a network is usually shown (`lib.training.inference.network_input`).

    Raises:
        WorkbookValueError: baselines of another size than the images.
    """
    generator = torch.Generator().manual_seed(0)
    alpha = torch.rand(SAMPLES, 1, 1, 1, 1, generator=generator).to(images)
    if baselines is None:
        drawn = torch.randn(SAMPLES, *images.shape[1:], generator=generator)
    elif not isinstance(baselines, Tensor):
        raise WorkbookValueError(
            f"baselines are a tensor [M, 3, H, W], as the images, not {type(baselines).__name__}: torch.as_tensor makes one."
        )
    elif baselines.ndim == 4 and baselines.shape[1:] == images.shape[1:] and len(baselines):
        drawn = baselines[torch.randint(len(baselines), (SAMPLES,), generator=generator)]
    else:
        raise WorkbookValueError(
            f"baselines are of shape {list(baselines.shape)}, not [M, {', '.join(map(str, images.shape[1:]))}], as the images."
        )
    drawn = drawn.to(images).unsqueeze(1)

    def along(some: slice) -> tuple[Tensor, Tensor]:
        way = images - drawn[some]
        return drawn[some] + alpha[some] * way, way

    return _mean(model, images, targets, at_once, along)


def _mean(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None,
    at_once: int,
    sample: Callable[[slice], tuple[Tensor, Tensor | float]],
) -> Tensor:
    """[B, 3, H, W]: the mean over `SAMPLES` of a factor times ∂y/∂x at a point, both [s, B, 3, H, W], of `sample`.

    A pass takes one sample of every image, and where these are few more, up to `at_once` pictures in all.
    """
    with torch.no_grad():
        classes = chosen(logits_of(model, images), targets)
    total, size = torch.zeros_like(images), max(1, at_once // len(images))
    for start in range(0, SAMPLES, size):
        points, factor = sample(slice(start, start + size))
        pictures = rearrange(points, "s b c h w -> (s b) c h w").requires_grad_()
        of_class = scores(logits_of(model, pictures).float(), classes.repeat(len(points)))
        (gradient,) = torch.autograd.grad(of_class.sum(), pictures)
        total += (factor * rearrange(gradient, "(s b) c h w -> s b c h w", b=len(images))).sum(0)
    return total / SAMPLES
