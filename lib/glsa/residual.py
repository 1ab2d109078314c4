"""Residual out = Residual(x, R) of the input x and the fused features R (GLSA, step 4).

Another strategy is a class with a `forward` and one line:

    class CustomResidual(ResidualStrategy):
        def forward(self, x_in, fused_features):
            ...

    RESIDUAL_STRATEGIES["custom"] = CustomResidual
"""

import torch
from torch import Tensor, nn

from lib.mapped import Kind, MapInfo, Mapped


class ResidualStrategy(Mapped):
    """(x, R), each [B, C, H, W] → [B, C, H, W]"""

    shows = {"alpha": MapInfo(Kind.WEIGHT, meaning="weight of the block's output against its input")}

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x_in: Tensor, fused_features: Tensor) -> Tensor:
        """The block's output [B, C, H, W] of its input x and the fused features R, each [B, C, H, W]."""
        raise NotImplementedError(f"{type(self).__name__} needs a forward(self, x_in, fused_features).")


class OriginalResidual(ResidualStrategy):
    """x + R (ResNet, arXiv 1512.03385, eq. 1)"""

    def forward(self, x_in: Tensor, fused_features: Tensor) -> Tensor:
        return x_in + fused_features


class LearnableGateResidual(ResidualStrategy):
    """g⊙x + (1−g)⊙R, g = σ(ĝ), one ĝ a channel, 0 at the start (after Highway Networks, arXiv 1505.00387, eq. 3).

    The gate is a parameter; the paper's depends on the input.
    Map: 'alpha' 1−g [1, C, 1, 1], the weight of R.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.logit = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x_in: Tensor, fused_features: Tensor) -> Tensor:
        gate = self.logit.sigmoid()
        self.keep(alpha=1 - gate)
        return gate * x_in + (1 - gate) * fused_features


class ProgressiveResidual(ResidualStrategy):
    """(1−α)x + αR, α = σ(α̂), 0.1 at the start: the block begins close to the identity (after ReZero, arXiv 2003.04887).

    ReZero's x + αR starts at α = 0. The project that GLSA comes from means 0.1 but passes it as the logit, and so
    starts at 0.525.
    Map: 'alpha' α, a scalar, the weight of R.
    """

    START = 0.1

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.logit = nn.Parameter(torch.tensor(self.START).logit())

    def forward(self, x_in: Tensor, fused_features: Tensor) -> Tensor:
        alpha = self.logit.sigmoid()
        self.keep(alpha=alpha)
        return (1 - alpha) * x_in + alpha * fused_features


class DropPathResidual(ResidualStrategy):
    """x + DropPath(R): in training each sample loses its R with probability p, and a kept R is scaled by 1/(1−p)
    (stochastic depth, arXiv 1603.09382; the scaling in training, instead of in eval, is torchvision's)."""

    def __init__(self, channels: int, p: float = 0.1) -> None:
        super().__init__(channels)
        from torchvision.ops import StochasticDepth  # slow to import

        self.drop_path = StochasticDepth(p, mode="row")

    def forward(self, x_in: Tensor, fused_features: Tensor) -> Tensor:
        return x_in + self.drop_path(fused_features)


RESIDUAL_STRATEGIES: dict[str, type[ResidualStrategy]] = {
    "original": OriginalResidual,
    "learnable_gate": LearnableGateResidual,
    "progressive": ProgressiveResidual,
    "drop_path": DropPathResidual,
}
