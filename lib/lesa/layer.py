"""Locally Enhanced Self-Attention, the layer that replaces a bottleneck's 3×3 convolution (arXiv 2107.05637).

out = u + ω ⊙ b: the unary, local term u is a convolution, the binary, context term b is self-attention, and the gate ω
is computed from both. A stride of 2 is an average pool at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.errors import WorkbookError, WorkbookValueError, choose, positive
from lib.lesa.context import ContextTerm
from lib.maps import Mapped

TERMS = ("local", "context")


class LESA(Mapped):
    """[B, C, H, W] → [B, C, ⌈H/stride⌉, ⌈W/stride⌉] for any H and W.

    Maps, before the stride: 'gate' ω [B, C, H, W]; the norms over channels of the terms as they are added, 'local'
    |u| and 'context_term' |ω ⊙ b|, and of the 'ungated' |b|, each [B, 1, H, W]; 'context' and 'context_heads', the
    attention of one position, see `ContextTerm.maps`.

    Args:
        channels: C.
        size: height and width of the map that the position scheme's tables are for.
        groups: groups of the 3×3 convolution and heads of the attention; 2·groups must divide C.
        position: "classification", "detection_qr" or "axial", see `lib.lesa.position`.
        stride: 1 or more.

    Raises:
        WorkbookValueError: an unknown position scheme, or a size that cannot be.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        groups: int = 8,
        position: str = "classification",
        stride: int = 1,
    ) -> None:
        super().__init__()
        positive(stride=stride)
        self.channels, self.stride = channels, stride
        self.switched_off: str | None = None
        self.context = ContextTerm(channels, size, groups, position)
        self.local = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.gate = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(2 * channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != self.channels:
            raise WorkbookValueError(f"This LESA layer takes {self.channels} channels, not {x.shape[1]}.")
        return self.pooled(self.local(x) if self.switched_off == "context" else self.both(x))

    def both(self, x: Tensor) -> Tensor:
        """u + ω ⊙ b, or ω ⊙ b alone while the local term is switched off; at full resolution."""
        u, b = self.local(x), self.context(x)
        gate = self.gate(torch.cat([u, b], dim=1))
        self.keep(gate=gate, local=u, context=b)
        return gate * b if self.switched_off == "local" else u + gate * b

    def pooled(self, x: Tensor) -> Tensor:
        return x if self.stride == 1 else F.avg_pool2d(x, self.stride, ceil_mode=True)

    def maps(self, query: tuple[int, int] | None = None) -> dict[str, Tensor]:
        gate, u, b = (self.kept[name] for name in ("gate", "local", "context"))
        terms = {"local": u, "context_term": gate * b, "ungated": b}
        norms = {name: term.norm(dim=1, keepdim=True) for name, term in terms.items()}
        return {"gate": gate, **norms, **self.context.maps(query)}


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
