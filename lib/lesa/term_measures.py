"""What trained LESA layers do with images: the gate ω, and the lengths of what it lets through."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from lib.errors import WorkbookError, WorkbookValueError
from lib.lesa.layer import LESA
from lib.lesa.model import LESANet


@torch.no_grad()
def term_statistics(model: LESANet, batches: Iterable[Tensor]) -> dict[str, dict[str, Tensor]]:
    """Means over positions in each LESA layer, by the name of its block; `model` is in eval mode.

    Of N images [N, 3, H, W] in batches: 'gate' [N, C], ω of each channel, and its variance 'within' the image
    [N, C]; and [N] the lengths over channels 'local' |u|, 'context_term' |ω ⊙ b| and 'ungated' |b|.

    Raises:
        WorkbookValueError: no images.
        WorkbookError: the model is in training mode, or has no LESA layer.
    """
    layers = {name: layer for name, layer in model.blocks.items() if isinstance(layer, LESA)}
    if model.training or not layers:
        raise WorkbookError(
            "The terms are looked at in LESA layers in eval mode: build attention='lesa', call model.eval()."
        )
    batch_statistics: dict[str, list[dict[str, Tensor]]] = {name: [] for name in layers}
    for images in batches:
        model(images)
        for name, layer in layers.items():
            batch_statistics[name].append(_of_batch(layer))
    if not all(batch_statistics.values()):
        raise WorkbookValueError("There are no images to look at: give at least one batch.")
    return {
        name: {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}
        for name, batches in batch_statistics.items()
    }


def _of_batch(layer: LESA) -> dict[str, Tensor]:
    gate = layer.kept["gate"].float()
    return {
        "gate": gate.mean((2, 3)),
        "within": gate.var((2, 3), correction=0),
        **{name: term.float().norm(dim=1).mean((1, 2)) for name, term in layer.terms().items()},
    }


def gate_variance(gate: Tensor, within: Tensor) -> dict[str, float]:
    """Shares of the variance of ω [N, C, H, W] by what varies, from its means and variances over positions,
    [N, C] each; they sum to 1.

    By the law of total variance: 'channels', between the means of channels, which holds for every image; 'images',
    within a channel between the means of images; 'positions', within a channel and an image. A gate that does not look
    at its input has all of it in 'channels'. A gate of one value everywhere has NaN.
    """
    gate, within = gate.double(), within.double()
    parts = {
        "channels": gate.mean(0).var(correction=0),
        "images": gate.var(0, correction=0).mean(),
        "positions": within.mean(),
    }
    total = sum(parts.values())
    return {name: (part / total).item() for name, part in parts.items()}


def context_share(terms: Sequence[Mapping[str, Mapping[str, Tensor]]]) -> dict[str, float]:
    """|ω ⊙ b| / (|u| + |ω ⊙ b|) by block: the mean over images and networks of what `term_statistics` gives for each."""
    shares = {
        block: [of[block]["context_term"] / (of[block]["local"] + of[block]["context_term"]) for of in terms]
        for block in terms[0]
    }
    return {
        block: torch.stack([share.mean() for share in of_block]).mean().item() for block, of_block in shares.items()
    }
