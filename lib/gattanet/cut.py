"""A backbone cut where the agreement begins, so that a further pass restarts there.

`torch.fx` records the forward of the backbone and of the modules around the selected layers; everything else, the
selected layers too, stays one opaque call, so it may branch and loop as it likes. The record is cut in three
functions of the live model: what comes before the first selected layer, what comes from there to the last one (all
that an early pass is for), and what comes from there to the logits. No module is copied: what replaces a part of the
backbone later is what runs.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from lib.cnn.stages import function_of
from lib.errors import WorkbookValueError
from lib.gattanet.probe import called_once, first_line
from lib.mapped import mode


class Cut(NamedTuple):
    """Three functions whose first argument is the model: it has `backbone` and `agreement`, one for each layer."""

    lower: Callable[..., tuple]  # (images) → state: what crosses into the first selected layer
    collect: Callable[..., tuple]  # (*state, q_avg) → what each agreement gave
    upper: Callable[..., tuple]  # (*state, q_avg) → (logits, what each agreement gave)


class _Whole(nn.Module):
    """The backbone under the name that it has in the model."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images)


class _Recorder(fx.Tracer):
    """Records `_Whole`, with a call of the layer's agreement after each selected layer."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        self.index = {id(layer): i for i, layer in enumerate(layers.values())}
        self.agreement_calls: list[list[fx.Node]] = [[] for _ in layers]  # of each layer, the calls of its agreement

    def is_leaf_module(self, m: nn.Module, name: str) -> bool:
        inside = {id(part) for part in m.modules()} - {id(m)}
        return not inside & self.index.keys()

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        if m not in self.submodule_paths:  # made on the way, as a slice of a Sequential is; its parts are known
            return forward(*args, **kwargs)
        out = super().call_module(m, forward, args, kwargs)
        if id(m) not in self.index:
            return out
        i = self.index[id(m)]
        call = self.create_proxy("call_module", f"agreement.{i}", (out,), {})
        self.agreement_calls[i].append(call.node)
        return call[0]


def cut(model: nn.Module, backbone: nn.Module, layers: dict[str, nn.Module], training: bool) -> Cut:
    """Record `backbone` in that mode and cut it; `model.agreement` holds one `Agreement` for each of `layers`.

    Raises:
        WorkbookValueError: the record fails, or a layer is not called exactly once.
    """
    recorder = _Recorder(layers)
    try:
        with mode(backbone, training):
            nodes = list(recorder.trace(_Whole(backbone)).nodes)
    except Exception as error:  # user code meets stand-ins for tensors and may do anything
        raise WorkbookValueError(uncut(type(backbone).__name__, first_line(error))) from error
    for name, calls in zip(layers, recorder.agreement_calls, strict=True):
        called_once(name, len(calls))
    agreements = tuple(calls[0] for calls in recorder.agreement_calls)
    places = [nodes.index(call) for call in agreements]
    first, last, output = min(places), max(places), nodes[-1]
    state = tuple(node for node in nodes[:first] if not node.users.keys() <= set(nodes[:first]))
    return Cut(
        _function(model, nodes[:first], nodes[:1], state),
        _function(model, nodes[first : last + 1], state, agreements, modulated=True),
        _function(model, nodes[first:-1], state, (output.args[0], agreements), modulated=True),
    )


def _function(
    model: nn.Module, nodes: Iterable[fx.Node], inputs: Iterable[fx.Node], outputs: Any, modulated: bool = False
) -> Callable[..., tuple]:
    """f(model, *inputs[, q_avg]) → outputs, by the recorded `nodes`."""
    return function_of(
        model, nodes, inputs, outputs, "q_avg" if modulated else None, lambda node: modulated and _agrees(node)
    )


def _agrees(node: fx.Node) -> bool:
    return node.op == "call_module" and node.target.startswith("agreement.")


def verify(model: nn.Module, images: Tensor, logits: Tensor) -> None:
    """Raise a WorkbookValueError if one pass of the cut `model` does not give the backbone's `logits`."""
    name = type(model.backbone).__name__
    try:
        with mode(model, training=False), torch.no_grad():
            again = model.upper(model.lower(images), None)[0]
    except Exception as error:  # a record that took another turn than the real forward would
        raise WorkbookValueError(uncut(name, first_line(error))) from error
    if not images.is_meta and not torch.allclose(again, logits, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise WorkbookValueError(uncut(name, "it no longer gives its own logits"))


def uncut(name: str, reason: str) -> str:
    """Why the backbone called `name` cannot be cut, and what can be done: the text of an error."""
    return (
        f"{name} cannot be cut at its layers ({reason}). Torch.fx records the forward of the modules around the selected "
        "layers, which must not branch on values, shapes or types, or remember earlier calls: select layers that stand "
        "less deep, move what branches into a module of its own, or mark the function with torch.fx.wrap."
    )
