"""Local attention L = Local(x + A) (GLSA, step 2): CBAM, BAM, scSE, or none.

Known deviations from the papers, in all three: a reduction leaves at least 4 hidden units, because a narrow map's
two or three would often all be dead behind the ReLU. A convolution before a BatchNorm has no bias, which the norm
would take away again.
"""

from collections.abc import Iterator

import torch
from einops import reduce
from torch import Tensor, nn

from lib.errors import choose
from lib.mapped import Kind, Map, MapInfo, Mapped, Query

MIN_HIDDEN = 4


class LocalAttention(Mapped):
    """[B, C, H, W] → [B, C, H, W]. Derive from it, and register: `LOCAL_ATTENTION["mine"] = Mine`.

    Maps: 'channel' [B, C, 1, 1], 'spatial' [B, 1, H, W].
    """

    shows = {
        "channel": MapInfo(Kind.WEIGHT, along="channels"),
        "spatial": MapInfo(Kind.GATE, along="channels", method="glsa-local"),
    }

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H, W]"""
        raise NotImplementedError(f"{type(self).__name__} needs a forward(self, x).")


class NoAttention(LocalAttention):
    """The map as it is."""

    shows = {}

    def forward(self, x: Tensor) -> Tensor:
        return x


class CBAM(LocalAttention):
    """Convolutional Block Attention Module, arXiv 1807.06521, eqs. 1–3: which channels, then which positions.

    The norm after the 7×7 convolution is the authors' code's. There is no skip around the module, as in the paper.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__(channels)
        self.channel = squeeze_mlp(channels, reduction)
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1))

    def forward(self, x: Tensor) -> Tensor:
        average, maximum = (reduce(x, "b c h w -> b c 1 1", how) for how in ("mean", "max"))
        channel = (self.channel(average) + self.channel(maximum)).sigmoid()
        x = channel * x
        pooled = torch.cat([reduce(x, "b c h w -> b 1 h w", how) for how in ("mean", "max")], dim=1)
        spatial = self.spatial(pooled).sigmoid()
        self.keep(channel=channel, spatial=spatial)
        return spatial * x


class BAM(LocalAttention):
    """Bottleneck Attention Module, arXiv 1807.06514, eqs. 1–4: F + F ⊙ σ(M_c + M_s).

    M_c is normalised over the batch alone, so training needs batches of two images or more.
    Maps: the gate σ(M_c + M_s), averaged over positions in 'channel' and over channels in 'spatial'.
    """

    def __init__(self, channels: int, reduction: int = 16, dilation: int = 4) -> None:
        super().__init__(channels)
        hidden = hidden_units(channels, reduction)
        dilated = {"kernel_size": 3, "padding": dilation, "dilation": dilation}
        self.channel = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.spatial = nn.Sequential(
            *conv_norm_relu(channels, hidden, kernel_size=1),
            *conv_norm_relu(hidden, hidden, **dilated),
            *conv_norm_relu(hidden, hidden, **dilated),
            nn.Conv2d(hidden, 1, 1, bias=False),
            nn.BatchNorm2d(1),
        )

    def forward(self, x: Tensor) -> Tensor:
        channel = self.channel(reduce(x, "b c h w -> b c 1 1", "mean"))
        spatial = self.spatial(x)
        self.keep(channel=channel, spatial=spatial)
        return x + x * (channel + spatial).sigmoid()

    def shown(self, query: Query = None) -> Iterator[Map]:
        gate = (self.kept["channel"] + self.kept["spatial"]).sigmoid()  # [B, C, H, W]
        yield self.typed("channel", reduce(gate, "b c h w -> b c 1 1", "mean"))
        yield self.typed("spatial", reduce(gate, "b c h w -> b 1 h w", "mean"))


class SCSE(LocalAttention):
    """Concurrent spatial and channel squeeze and excitation, arXiv 1803.02579, eqs. 1–5.

    `combine` joins the two excited maps: "add", or "max" element by element.

    Raises:
        WorkbookValueError: `combine` is neither.
    """

    COMBINE = {"add": torch.add, "max": torch.maximum}

    def __init__(self, channels: int, reduction: int = 2, combine: str = "add") -> None:
        super().__init__(channels)
        self.combine = choose("combine", combine, self.COMBINE)
        self.channel = squeeze_mlp(channels, reduction)
        self.spatial = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        channel = self.channel(reduce(x, "b c h w -> b c 1 1", "mean")).sigmoid()
        spatial = self.spatial(x).sigmoid()
        self.keep(channel=channel, spatial=spatial)
        return self.COMBINE[self.combine](x * channel, x * spatial)


LOCAL_ATTENTION: dict[str, type[LocalAttention]] = {"CBAM": CBAM, "BAM": BAM, "scSE": SCSE, "none": NoAttention}


def hidden_units(channels: int, reduction: int) -> int:
    """⌊channels / reduction⌋, but MIN_HIDDEN at least."""
    return max(channels // reduction, MIN_HIDDEN)


def squeeze_mlp(channels: int, reduction: int) -> nn.Sequential:
    """[B, C, 1, 1] → [B, C, 1, 1] by way of C / reduction, no biases (SE-Net, arXiv 1709.01507, eq. 3)."""
    hidden = hidden_units(channels, reduction)
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
    )


def conv_norm_relu(inputs: int, outputs: int, **conv: int) -> tuple[nn.Module, ...]:
    """A convolution without bias, its BatchNorm, a ReLU; `conv` are `nn.Conv2d`'s further arguments, such as `dilation`."""
    return nn.Conv2d(inputs, outputs, bias=False, **conv), nn.BatchNorm2d(outputs), nn.ReLU()
