"""Several losses as one, weighted by learned uncertainties (Kendall et al., arXiv 1705.07115; DCAL, section 3.4)."""

import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError, unknown


class UncertaintyWeighting(nn.Module):
    """½ Σ_k (e^{−w_k} L_k + w_k), with one learned w_k a loss, 0 at the start.

    A single loss has nothing to be weighed against and is returned as it is: a network with one branch is trained
    like any classifier.

    Args:
        names: the losses' names, in order.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        self.w = nn.Parameter(torch.zeros(len(names))) if len(names) > 1 else None

    def forward(self, **losses: Tensor) -> Tensor:
        """Scalars by name → a scalar; a loss that is left out counts nothing, and neither does its w.

        Raises:
            WorkbookValueError: no loss is given, or one whose name is unknown.
        """
        for name in losses:
            if name not in self.names:
                raise unknown("loss", name, self.names)
        if not losses:
            raise WorkbookValueError(f"There is no loss to weigh: give at least one of {', '.join(self.names)}.")
        if self.w is None:
            return next(iter(losses.values()))
        weighted = [
            (-self.w[self.names.index(n)]).exp() * loss + self.w[self.names.index(n)] for n, loss in losses.items()
        ]
        return sum(weighted) / 2
