"""Maps that a module shows after a forward in eval mode: attention, gates, masks, by name."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lib.errors import WorkbookError


class Mapped(nn.Module):
    """A module whose last eval forward can be looked into.

    `forward` hands what is worth seeing to `keep`, all in one call; `maps` gives it back by name. What is kept is a
    plain attribute: it is in no state dict, no copy and no pickle. Keep inputs of a map rather than an N×N map
    itself, and compute the map in `maps` when somebody asks for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, Tensor] = {}

    def keep(self, **maps: Tensor) -> None:
        """Hold detached references to `maps`, which replace those of the forward before.

        A forward in training mode lets go of everything: nobody looks at a training batch, and the references would
        only hold its memory. An exported graph has no attributes to write to.
        """
        if not torch.compiler.is_exporting():
            self._kept = {} if self.training else {name: tensor.detach() for name, tensor in maps.items()}

    @property
    def kept(self) -> dict[str, Tensor]:
        """What the last eval forward kept.

        Raises:
            WorkbookError: there was no forward in eval mode, or one in training mode came after it.
        """
        if not self._kept:
            name = type(self).__name__
            raise WorkbookError(f"{name} has no maps yet: call the model in eval mode first, model.eval()(images).")
        return self._kept

    def maps(self, query: tuple[int, int] | None = None) -> dict[str, Tensor]:
        """The maps by name. `query` (row, column) asks an attention for one position; a gate has no use for it."""
        return dict(self._kept)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_kept": {}}
