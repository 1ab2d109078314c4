"""Which layers a forward calls, in which order, and what they give."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def watch(
    model: nn.Module, images: Tensor, layers: Mapping[str, nn.Module], note: Callable[[str, object], object]
) -> None:
    """Run `model` on one of the images [B, 3, H, W] and call `note(name, output)` whenever one of `layers` is done."""
    handles = [
        layer.register_forward_hook(lambda module, args, output, name=name: note(name, output) and None)
        for name, layer in layers.items()
    ]
    try:
        with torch.no_grad():
            model(images[:1])
    finally:
        for handle in handles:
            handle.remove()
