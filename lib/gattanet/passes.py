"""What a trained network does with its passes: its answer after each, and how much each layer is modulated."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError, positive
from lib.gattanet.model import GAttANet, agreement_name


def logits_by_passes(model: GAttANet, images: Tensor, most: int) -> Tensor:
    """[most, B, num_classes]: what `model` answers when it runs 1, 2, … `most` passes; its own number stays as it is.

    One pass is the backbone with the weights that were trained for `model.passes` of them, and more are passes that it
    was not trained for. Running statistics of batch normalisation are those of all passes together, which suit none of
    them alone: under `batch_statistics` each pass has its own.

    Raises:
        WorkbookValueError: `most` is not a positive whole number.
    """
    positive(most=most)
    own, logits = model.passes, []
    try:
        for passes in range(1, most + 1):
            model.passes = passes
            logits.append(model(images))
        return torch.stack(logits)
    finally:
        model.passes = own


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Batch normalisation by the batch at hand, as in training, instead of by running statistics, which stay as they
    are. It tells what a mixture of several passes' statistics costs; it is no way to predict, for an image's answer
    then depends on its neighbours."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    before = [(norm.training, norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    try:
        for norm in norms:
            norm.training, norm.momentum = True, 0.0
        yield
    finally:
        for norm, (training, momentum, tracked) in zip(norms, before, strict=True):
            norm.training, norm.momentum = training, momentum
            norm.num_batches_tracked.copy_(tracked)


def gains(model: GAttANet) -> dict[str, Tensor]:
    """By layer, 1 + α · gatta of the last eval forward, from the second pass on: [B, P−1, H, W] or [B, P−1, C].

    What agrees with the global query is emphasised (above 1) and what disagrees silenced (below 1), or the other way
    round where α is negative.

    Raises:
        WorkbookError: there was no forward in eval mode yet.
        WorkbookValueError: with a single pass nothing is modulated.
    """
    maps = model.maps()
    if model.passes == 1:
        raise WorkbookValueError("passes=1 is the backbone itself, which modulates nothing: take at least 2.")
    return {
        layer: 1 + alpha * maps[agreement_name(layer)] for layer, alpha in zip(model.layers, maps["alpha"], strict=True)
    }
