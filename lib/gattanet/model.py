"""GAttANet: a convolutional network whose layers agree on a global query, which then modulates them all.

VanRullen & Alamia, "GAttANet: Global attention agreement for convolutional neural networks", arXiv 2104.05575.

Known choices, where the paper leaves them open or the trainer needs one: batch normalisation and dropout work in every
pass as in any call, so running statistics are those of all passes. The layers after the last selected one see the
last pass alone, those before the first one run once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lib.errors import positive
from lib.gattanet.agreement import MapAgreement, UnitAgreement
from lib.gattanet.cut import Cut, cut, verify
from lib.gattanet.probe import draw_images, named_layers, probe
from lib.mapped import Kind, Map, MapInfo, Mapped, Query


class GAttANet(Mapped):
    """Any convolutional classifier with global agreement at `layers`.

    The first pass collects the queries of all layers into q_avg [B, d]. Every further pass restarts at the first
    selected layer, modulates each layer by its agreement with the q_avg of the pass before, on which the following
    layers build, and collects again. The logits are the last pass's. With every α = 0, as at the start where `alpha_init` is left, and with
    `passes=1`, it computes what the backbone computes.

    Args:
        backbone: images [B, …] → logits [B, num_classes].
        layers: names as in `backbone.named_modules()`; their outputs are maps [B, C, H, W] or vectors [B, C].
        dim: d, the width of keys and queries.
        passes: how often the selected layers run, at least 1.
        norm: "layer" for a LayerNorm on each layer's agreement, or None.
        freeze: leave the backbone as it is, its BatchNorm statistics too: only keys, queries and α are trained.
        input_size: shape of an image, to find the layers' shapes; None is timm's own for its networks, else 3×224×224.
            Other sizes than that one can be given later.
        alpha_init: where every α starts.

    Maps, with P passes and L layers: 'queries' [B, P, d], q_avg as each pass collected it; 'alpha' [L];
    'agreement_<layer>' [B, P−1, H, W] or [B, P−1, C], gatta in the passes from the second on. The query is the network's
    own.

    Raises:
        WorkbookValueError: no layer, an unknown one, one that is not called exactly once or gives neither map nor
            vector; a backbone that cannot take images of `input_size`, or cannot be cut (see `lib.gattanet.cut`); a
            size that is not a positive whole number.
    """

    def __init__(
        self,
        backbone: nn.Module,
        layers: Sequence[str],
        dim: int = 64,
        passes: int = 2,
        norm: str | None = None,
        freeze: bool = False,
        input_size: Sequence[int] | None = None,
        alpha_init: float = 0.0,
    ) -> None:
        super().__init__()
        positive(dim=dim, passes=passes)
        selected = named_layers(backbone, layers)
        images = draw_images(backbone, input_size)
        logits, shapes = probe(backbone, selected, images)
        self.backbone = backbone
        self.layers = tuple(layers)
        self.passes = passes
        self.freeze = freeze
        kinds = {4: MapAgreement, 2: UnitAgreement}
        self.agreement = nn.ModuleList(kinds[len(shape)](shape[1], dim, norm, alpha_init) for shape in shapes.values())
        self.agreement.to(images.device, images.dtype)
        self._cuts = self._cut()
        verify(self, images, logits)
        if freeze:
            backbone.requires_grad_(False)
            backbone.eval()

    def _cut(self) -> dict[bool, Cut]:
        """By the backbone's mode: a forward may read `self.training`."""
        selected = named_layers(self.backbone, self.layers)
        return {training: cut(self, self.backbone, selected, training) for training in (True, False)}

    def lower(self, images: Tensor) -> tuple:
        """What comes before the first selected layer: images → all that the layers from there on need of it."""
        return self._cuts[self.backbone.training].lower(self, images)

    def collect(self, state: tuple, q_avg: Tensor | None) -> tuple:
        """An early pass, which ends at the last selected layer: → (f′, mean query, agreement) of each layer."""
        # The backbone may work in place on what it is given, and the next pass starts from the same state.
        return self._cuts[self.backbone.training].collect(self, *copied(state), q_avg)

    def upper(self, state: tuple, q_avg: Tensor | None) -> tuple[Tensor, tuple]:
        """The last pass: → logits [B, num_classes], and (f′, mean query, agreement) of each layer."""
        return self._cuts[self.backbone.training].upper(self, *state, q_avg)

    def forward(self, images: Tensor) -> Tensor:
        """images [B, …] → [B, num_classes]"""
        state = self.lower(images)
        q_avg, queries, agreements = None, [], []
        for _ in range(self.passes - 1):
            seen = self.collect(state, q_avg)
            q_avg = global_query(seen)
            queries.append(q_avg)
            agreements.append([gatta for _, _, gatta in seen])
        logits, seen = self.upper(state, q_avg)
        queries.append(global_query(seen))
        agreements.append([gatta for _, _, gatta in seen])
        self._keep(queries, agreements[1:])
        return logits

    def _keep(self, queries: list[Tensor], agreements: list[list[Tensor]]) -> None:
        if self.training:
            self.keep()
            return
        of_layer = zip(*agreements, strict=True)
        maps = {
            agreement_name(layer): torch.stack(gattas, 1) for layer, gattas in zip(self.layers, of_layer, strict=False)
        }
        self.keep(queries=torch.stack(queries, 1), alpha=torch.stack([part.alpha for part in self.agreement]), **maps)

    @property
    def shows(self) -> Mapping[str, MapInfo]:
        """The queries, α, and the agreement of each layer: that of a dense layer belongs to no position."""
        infos = {"queries": MapInfo(Kind.QUERY, along="passes"), "alpha": MapInfo(Kind.WEIGHT)}
        if self.passes > 1:
            for layer, part in zip(self.layers, self.agreement, strict=True):
                of_map = isinstance(part, MapAgreement)
                kind, method = (Kind.AGREEMENT, "gatta-agreement") if of_map else (Kind.WEIGHT, None)
                infos[agreement_name(layer)] = MapInfo(kind, "passes", method, title="agreement", layer=layer)
        return infos

    def shown(self, query: Query = None) -> Iterator[Map]:
        return (self.typed(name, tensor) for name, tensor in self.kept.items())

    def train(self, mode: bool = True) -> GAttANet:
        """Training or eval mode, as of any module; a frozen backbone stays in eval mode, so that its BatchNorm keeps its
        statistics."""
        super().train(mode)
        if self.freeze:
            self.backbone.eval()
        return self

    def export_backbone(self) -> dict[str, Tensor]:
        """The backbone's state dict, which loads into the bare backbone: copies, on their device."""
        return {name: tensor.detach().clone() for name, tensor in self.backbone.state_dict().items()}

    def count_parameters(self) -> dict[str, int]:
        """{'total', 'backbone', 'gatta'}; the parts sum to the total."""
        parts = {"backbone": self.backbone, "gatta": self.agreement}
        counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
        return {"total": sum(counts.values()), **counts}

    def __getstate__(self) -> dict:
        return {**super().__getstate__(), "_cuts": None}  # code that was made here cannot be pickled

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self._cuts = self._cut()


def agreement_name(layer: str) -> str:
    """The name of a layer's map."""
    return f"agreement_{layer}"


def global_query(seen: tuple) -> Tensor:
    """q_avg [B, d]: the mean over all layers, convolutional and dense alike, of their mean queries."""
    return torch.stack([query for _, query, _ in seen]).mean(0)


def copied(value: Any) -> Any:
    """`value` with tensors of its own, in lists and tuples too."""
    if isinstance(value, list | tuple):
        return type(value)(copied(part) for part in value)
    return value.clone() if isinstance(value, Tensor) else value
