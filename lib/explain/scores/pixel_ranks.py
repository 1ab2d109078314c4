"""The order of a map's pixels, most relevant first, which is all that perturbation and overlap scores need of it."""

import torch
from torch import Tensor

from lib.errors import WorkbookValueError


def ranks(maps: Tensor) -> Tensor:
    """The place of every pixel in the order of falling values, int32 [N, H, W] from 0 on, of maps [N, H, W].

    Pixels of equal value stand in an order that is drawn once: the many zeros of a map would otherwise be taken row by
    row from its top.

    Raises:
        WorkbookValueError: no maps [N, H, W], or values that are not finite.
    """
    checked_maps(maps)
    pixels = maps[0].numel()
    drawn = torch.randperm(pixels, generator=torch.Generator().manual_seed(0)).to(maps.device)
    order = drawn[maps.flatten(1)[:, drawn].argsort(dim=1, descending=True, stable=True)]  # [N, P]: pixels by place
    places = torch.arange(pixels, dtype=torch.int32, device=maps.device).expand_as(order)
    return torch.empty_like(places).scatter_(1, order, places).view_as(maps)


def checked_maps(maps: Tensor) -> None:
    """Raise a WorkbookValueError unless `maps` are a finite tensor [N, H, W]."""
    if not isinstance(maps, Tensor):
        raise WorkbookValueError(f"Maps are a tensor [N, H, W], not {type(maps).__name__}: torch.as_tensor makes one.")
    if maps.ndim != 3 or 0 in maps.shape:
        raise WorkbookValueError(f"Maps have the shape [N, H, W], with at least one map, not {list(maps.shape)}.")
    if not maps.isfinite().all():
        raise WorkbookValueError("There are maps with values that are not finite: they have no order.")


def fitting(images: Tensor, maps: Tensor) -> None:
    """Raise a WorkbookValueError unless there is one value of `maps` for each pixel of `images`."""
    checked_maps(maps)
    if maps.shape != images.shape[:1] + images.shape[2:]:
        raise WorkbookValueError(
            f"Maps of shape {list(maps.shape)} do not fit images of shape {list(images.shape)}: one value a pixel."
        )
