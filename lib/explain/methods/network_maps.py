"""What networks show of themselves (`lib.mapped`) as explanations: selections, gates, attention and agreement.

Any network has a method for each map whose declaration names one. None of them knows the class to explain: they
tell where a network looked before it answered.
"""

import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError
from lib.explain.methods.eval_guards import unwrapped
from lib.mapped import EVERY, Kind, MapInfo, Mapped, declared_by


def network_methods(model: nn.Module) -> dict[str, tuple[Mapped, MapInfo]]:
    """By the name of the method, the map that it shows and the part of `model` that has it: the last one of several."""
    return {info.method: (part, info) for part, info in declared_by(model) if info.method and info.positional}


@torch.no_grad()
def network_map(method: str, model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, h, w]: the mean over channels or heads, the last pass; of attention, what a position gets of all queries.

    Raises:
        WorkbookValueError: the network keeps no such map, though it declares it.
    """
    model = unwrapped(model)
    model(images)
    part, info = network_methods(model)[method]
    for shown in part.shown(EVERY if info.kind is Kind.ATTENTION else None):
        if shown.info.name == info.name:
            return shown.plane()
    raise WorkbookValueError(
        f"{type(part).__name__} has no map {info.name!r} to show as {method}: its forward keeps none. Hand it to "
        f"self.keep({info.name}=…), or declare what it has in `shows`."
    )
