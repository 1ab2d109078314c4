"""Whether a network that nobody has described can be explained: tried on a blank image."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from lib.errors import WorkbookError
from lib.explain.methods.eval_guards import unchanged, undisturbed
from lib.explain.methods.logits import differentiable, logits_of
from lib.explain.methods.target_objects import Scored

USUAL = (224, 64, 32, 28, 96, 128, 256, 299, 384, 448, 512)  # sides of images, in pixels


def succeeds(model: nn.Module, look: Callable[[nn.Module, Tensor], object]) -> bool:
    """Whether `look(model, images)` raises no WorkbookError for a blank image of a size that `model` takes.

    True also where it takes none of the sizes that are tried: its own images will tell.
    """
    like = next(model.parameters(), torch.zeros(()))
    with unchanged(model), torch.no_grad():
        for height, width in _sizes(model):
            images = torch.zeros(1, 3, height, width, device=like.device, dtype=like.dtype)
            try:
                model(images)
            except Exception:  # of any kind, by which networks refuse a size
                continue
            try:
                look(model, images)
            except WorkbookError:
                return False
            return True
    return True


def is_ours(model: nn.Module) -> bool:
    """Whether `model` is a network of the workbook's, with which nothing needs to be tried."""
    return type(model).__module__.startswith("lib.") and not isinstance(model, Scored)


def has_gradient(model: nn.Module) -> bool:
    """Whether a gradient leads from what `model` answers back to the image."""

    def look(model: nn.Module, images: Tensor) -> None:
        with undisturbed(model):
            differentiable(logits_of(model, images.requires_grad_()))

    return is_ours(model) or succeeds(model, look)


def _sizes(model: nn.Module) -> Iterator[tuple[int, int]]:
    """Sizes of images that `model` may take: those that its parts name, then usual ones."""
    for part in model.modules():
        for named in ("img_size", "image_size"):
            side = getattr(part, named, None)
            if isinstance(side, int):
                yield side, side
            elif isinstance(side, (tuple, list)) and len(side) == 2:
                yield tuple(side)
    shape = (getattr(model, "pretrained_cfg", None) or {}).get("input_size")
    if shape is not None:
        yield tuple(shape[1:])
    yield from ((side, side) for side in USUAL)
