"""A model with an opening where its maps pass, so that others can read, replace and differentiate them."""

from __future__ import annotations

from torch import Tensor, nn

from lib.explain.methods.blank_images import is_ours, succeeds
from lib.explain.methods.eval_guards import undisturbed
from lib.explain.methods.logits import differentiable, logits_of
from lib.explain.methods.target_layers import TargetLayer, has_target_layer, target_layer_of
from lib.glsa.attention import at_least_float32


class ActivationTap(nn.Module):
    """`model`, images → logits, whose maps at `target_layer` pass the module `point`, in a with-block.

    `point` is called once a forward with maps [B, C, h, w] in full precision that begin a graph of their own: gradients
    end there, so that neither the layers before it nor frozen parameters cost or hinder anything. Tokens come as maps.
    Where they are not `detached`, the graph goes on to the images. Logits to be `differentiated` have to have a gradient.
    """

    def __init__(self, model: nn.Module, target_layer: TargetLayer, detached: bool = True) -> None:
        super().__init__()
        self.model, self.target_layer, self.point = model, target_layer, nn.Identity()
        self.detached, self.differentiated = detached, False
        self._calls, self._handle = 0, None

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → logits [B, num_classes], float32 or float64

        Raises:
            WorkbookValueError: what they are wanted for is a gradient, and there is none.
        """
        self._calls = 0
        logits = logits_of(self.model, images)
        if self.differentiated:
            differentiable(logits)
        return logits.to(at_least_float32(logits.dtype))

    def _open(self, layer: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        self._calls += 1
        if self._calls != self.target_layer.calls:
            return None
        maps = self.target_layer.maps(output.detach() if self.detached else output)
        maps = maps.to(at_least_float32(maps.dtype))
        if self.detached:
            maps.requires_grad_()
        return self.target_layer.output(self.point(maps), output.detach())

    def __enter__(self) -> ActivationTap:
        self._handle = self.target_layer.layer.register_forward_hook(self._open)
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.remove()


def has_gradient_at_layer(model: nn.Module) -> bool:
    """Whether a gradient leads from what `model` answers to the maps of its `target_layer_of`: of an unknown one, it is tried."""

    def look(model: nn.Module, images: Tensor) -> None:
        with undisturbed(model), ActivationTap(model, target_layer_of(model, images)) as tap:
            differentiable(tap(images))

    return has_target_layer(model) and (is_ours(model) or succeeds(model, look))
