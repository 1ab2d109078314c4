"""The maps from which a network's logits follow by a mean and one linear layer (Zhou et al., CVPR 2016), where they do."""

import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError
from lib.explain.methods.activation_tap import ActivationTap
from lib.explain.methods.logits import logits_of
from lib.explain.methods.target_layers import target_layer_of


def last_layer(net: nn.Module) -> nn.Linear | None:
    """The linear layer that comes last in `net`; None where it has none."""
    linear = [part for part in net.modules() if isinstance(part, nn.Linear)]
    return linear[-1] if linear else None


@torch.no_grad()
def pooled_maps(model: nn.Module, images: Tensor) -> Tensor | None:
    """The last maps F [B, C, h, w] of `model`, in eval mode, whose means over positions its last linear layer makes logits
    of; None where the network ends in any other way."""
    head, kept = last_layer(model), []
    try:
        with ActivationTap(model, target_layer_of(model, images)) as tap:
            tap.point.register_forward_hook(lambda point, given, F: kept.append(F.detach()))
            tap(images)
    except WorkbookValueError:  # it has no maps
        return None
    (F,) = kept
    if head is None or head.in_features != F.shape[1]:
        return None
    return F if torch.allclose(head(F.mean((2, 3))), logits_of(model, images), rtol=1e-3, atol=1e-3) else None
