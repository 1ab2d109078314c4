"""Locally Enhanced Self-Attention, the layer that replaces a bottleneck's 3×3 convolution (arXiv 2107.05637).

out = u + ω ⊙ b: the unary, local term u is a convolution, the binary, context term b is self-attention, and the gate ω
is computed from both. A stride of 2 is an average pool at the end. `SelfAttention`, out = b, is what LESA enhances: with
one position scheme and one set of BatchNorms for both, LESA differs from it by its local term and its gate alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.errors import WorkbookError, WorkbookValueError, choose, positive
from lib.glsa.attention import at_least_float32
from lib.glsa.pointwise import Pointwise, channels_last, laid, layout_of
from lib.lesa.context import ContextTerm
from lib.mapped import Kind, Map, MapInfo, Mapped, Query

TERMS = ("local", "context")


class SelfAttention(Mapped):
    """The context term alone, [B, C, H, W] → [B, C, ⌈H/stride⌉, ⌈W/stride⌉] for any H and W.

    Map, before the stride: 'context', see `ContextTerm`.

    Args:
        channels: C.
        size: a side, or height and width, of the map that the position scheme's tables are for.
        groups: heads; 2·groups must divide C.
        position: "classification", "detection_qr" or "axial", see `lib.lesa.position`.
        stride: 1 or more.

    Raises:
        WorkbookValueError: an unknown position scheme, or a size that cannot be.
    """

    def __init__(
        self,
        channels: int,
        size: int | tuple[int, int],
        groups: int = 8,
        position: str = "classification",
        stride: int = 1,
    ) -> None:
        super().__init__()
        positive(stride=stride)
        self.channels, self.stride = channels, stride
        self.context = ContextTerm(channels, size, groups, position)
        self.add_terms(groups)

    def add_terms(self, groups: int) -> None:
        """What a layer has beside its context term: nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, ⌈H/stride⌉, ⌈W/stride⌉]

        Raises:
            WorkbookValueError: x has not C channels.
        """
        if x.shape[1] != self.channels:
            raise WorkbookValueError(
                f"This {type(self).__name__} layer takes {self.channels} channels, not {x.shape[1]}."
            )
        x = self.whole(x)
        return x if self.stride == 1 else F.avg_pool2d(x, self.stride, ceil_mode=True)

    def whole(self, x: Tensor) -> Tensor:
        """The output at full resolution, before the stride."""
        return self.context(x)

    def shown(self, query: Query = None) -> Iterator[Map]:
        return self.context.shown(query)


class LESA(SelfAttention):
    """[B, C, H, W] → [B, C, ⌈H/stride⌉, ⌈W/stride⌉] for any H and W.

    Maps, before the stride: 'gate' ω [B, C, H, W]; the norms over channels of the terms as they are added, 'local'
    |u| and 'context_term' |ω ⊙ b|, and of the 'ungated' |b|, each [B, 1, H, W]; and those of `SelfAttention`.

    Arguments and errors are `SelfAttention`'s; the 3×3 convolution has as many groups as the attention has heads.
    """

    shows = {
        "gate": MapInfo(Kind.GATE, along="channels", method="lesa-omega"),
        **dict.fromkeys(("local", "context_term", "ungated"), MapInfo(Kind.NORM, along="channels")),
    }

    switched_off: str | None = None

    def add_terms(self, groups: int) -> None:
        """The local term and the gate."""
        channels = self.channels
        self.local = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False),
            Pointwise(channels, channels),
            nn.BatchNorm2d(channels),
        )
        self.gate = nn.Sequential(
            nn.ReLU(),
            Pointwise(2 * channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            Pointwise(channels, channels),
            nn.BatchNorm2d(channels),
            nn.Sigmoid(),
        )

    def whole(self, x: Tensor) -> Tensor:
        """u + ω ⊙ b, or what `without` leaves of it."""
        layout, x = layout_of(x), channels_last(x)
        u = self.local(x)
        if self.switched_off == "context":
            return laid(u, layout)
        b = channels_last(self.context(x))
        gate = self.gate(torch.cat([u, b], dim=1))
        self.keep(gate=gate, local=u, context=b)
        return laid(gate * b if self.switched_off == "local" else torch.addcmul(u, gate, b), layout)

    def terms(self) -> dict[str, Tensor]:
        """The terms of the last eval forward as they are added, 'local' u and 'context_term' ω ⊙ b, and 'ungated' b, in
        full precision."""
        kept = (self.kept[name] for name in ("gate", "local", "context"))
        gate, u, b = (tensor.to(at_least_float32(tensor.dtype)) for tensor in kept)
        return {"local": u, "context_term": gate * b, "ungated": b}

    def shown(self, query: Query = None) -> Iterator[Map]:
        yield self.typed("gate", self.kept["gate"])
        for name, term in self.terms().items():
            yield self.typed(name, term.norm(dim=1, keepdim=True))
        yield from super().shown(query)


@contextmanager
def without(model: nn.Module, term: str) -> Iterator[nn.Module]:
    """Switch one term off in every LESA layer of `model`, at inference, for the length of a with-block.

    Without "context" a layer is its convolution path, u: what a gate of 0 gives; nothing new can be seen in its maps.
    Without "local" it is ω ⊙ b, with the gate that both terms call for.

    Raises:
        WorkbookValueError: the term is neither "local" nor "context".
        WorkbookError: there is no LESA layer, or the model is in training mode.
    """
    term = choose("term", term, TERMS)
    layers = lesa_layers(model).values()
    if not layers:
        raise WorkbookError(f"{type(model).__name__} has no LESA layer to switch a term off in.")
    if model.training:
        raise WorkbookError("Terms are switched off at inference only: call model.eval() first.")
    before = [layer.switched_off for layer in layers]
    try:
        for layer in layers:
            layer.switched_off = term
        yield model
    finally:
        for layer, old in zip(layers, before, strict=True):
            layer.switched_off = old


def lesa_layers(model: nn.Module) -> dict[str, LESA]:
    """The LESA layers of `model` by name, in the order of its modules."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LESA)}
