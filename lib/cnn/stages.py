"""Any convolutional classifier cut in two before its last stage, as `lib.backbones` cuts ResNets and VGGs by hand.

A stage is a run of layers whose maps have one size. `torch.fx` records the network's own forward; everything but plain
Sequentials stays one opaque call, so blocks may branch as they like. Of the record, the last place before the last stage
counts where a single map [B, C, H, W] crosses, and that behind a block rather than behind its norm. Both halves are functions
of the live network: no module is copied, and what replaces a part of it later is what runs.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from lib.errors import WorkbookValueError
from lib.mapped import mode

SIDE = 224  # pixels, of a network that does not tell its own


class Stages(NamedTuple):
    """Where a network is cut: `lower` and `upper` are functions whose first argument is the network, by its mode."""

    lower: dict[bool, Callable[[nn.Module, Tensor], Tensor]]  # images → maps
    upper: dict[bool, Callable[[nn.Module, Tensor], Tensor]]  # maps → logits
    channels: int
    ends: tuple[str, ...]  # the modules with which stages end


class _Layer(NamedTuple):
    """A call of a module that gives a map."""

    at: int  # in the record
    name: str
    module: nn.Module
    shape: torch.Size

    @property
    def size(self) -> torch.Size:
        return self.shape[2:]

    @property
    def learns(self) -> bool:
        return any(True for _ in self.module.parameters())

    @property
    def is_block(self) -> bool:
        """Whether it is made of layers that learn; a norm with its activation is not."""
        return any(True for child in self.module.children() for _ in child.parameters())


class _Recorder(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, name: str) -> bool:
        return type(m) is not nn.Sequential


def stages_of(net: nn.Module, name: str) -> Stages:
    """Where the network called `name` is cut.

    Raises:
        WorkbookValueError: its forward cannot be recorded, it makes no maps [B, C, H, W], or no single one crosses.
    """
    records = {training: _record(net, name, training) for training in (True, False)}
    layers = _maps(net, name, records[False])
    cut = _last_before(layers, records[False], name)
    lower, upper = {}, {}
    for training, nodes in records.items():
        at = next((i for i, node in enumerate(nodes) if node.op == "call_module" and node.target == cut.name), 0)
        if _crossing(nodes, at + 1) != [nodes[at]]:
            raise uncut(name, f"its forward in {'training' if training else 'eval'} mode takes another way")
        lower[training] = function_of(net, nodes[: at + 1], nodes[:1], nodes[at])
        upper[training] = function_of(net, nodes[at + 1 : -1], [nodes[at]], nodes[-1].args[0])
    return Stages(lower, upper, cut.shape[1], tuple(_ends(layers)))


def _record(net: nn.Module, name: str, training: bool) -> list[fx.Node]:
    try:
        with mode(net, training):
            return list(_Recorder().trace(net).nodes)
    except Exception as error:  # its code meets stand-ins for tensors and may do anything
        raise uncut(name, (str(error) or type(error).__name__).splitlines()[0][:150]) from error


def _maps(net: nn.Module, name: str, nodes: list[fx.Node]) -> list[_Layer]:
    """The calls of modules that give maps [B, C, H, W] of more than one position, in their order; nothing is computed."""
    side = (getattr(net, "pretrained_cfg", None) or {}).get("input_size", (3, SIDE, SIDE))[-1]
    seen: dict[str, torch.Size] = {}
    handles = [
        net.get_submodule(target).register_forward_hook(
            lambda _m, _i, out, target=target: seen.update({target: getattr(out, "shape", None)})
        )
        for target in {node.target for node in nodes if node.op == "call_module"}
    ]
    tensors = {key: torch.empty_like(t, device="meta") for key, t in chain(net.named_parameters(), net.named_buffers())}
    try:
        with mode(net, training=False), torch.no_grad():
            torch.func.functional_call(net, tensors, (torch.empty(2, 3, side, side, device="meta"),))
    except Exception as error:
        raise uncut(name, (str(error) or type(error).__name__).splitlines()[0][:150]) from error
    finally:
        for handle in handles:
            handle.remove()
    four = [
        (i, n.target, seen[n.target]) for i, n in enumerate(nodes) if seen.get(n.target) and len(seen[n.target]) == 4
    ]
    layers = [
        _Layer(i, target, net.get_submodule(target), shape)
        for i, target, shape in four
        if shape[2] == shape[3] > 1  # of a square image
    ]
    if sum(layer.learns for layer in layers) < 2:
        is_last = any(shape[1] == shape[2] != shape[3] for _, _, shape in four)
        raise uncut(name, "its maps are [B, H, W, C]" if is_last else "its layers hand no maps [B, C, H, W] on")
    return layers


def _last_before(layers: list[_Layer], nodes: list[fx.Node], name: str) -> _Layer:
    """The layer behind which the network is cut."""
    learning = [layer for layer in layers if layer.learns]
    stage = learning[-1].size
    first = next((b for a, b in zip(learning[-2::-1], learning[:0:-1], strict=True) if a.size != stage), learning[0])
    for layer in reversed([layer for layer in layers if layer.at < first.at]):
        if _crossing(nodes, layer.at + 1) == [nodes[layer.at]] and not _is_norm(layer, layers):
            return layer
    raise uncut(name, "more than one map crosses wherever a stage ends")


def _is_norm(layer: _Layer, layers: list[_Layer]) -> bool:
    """Whether a layer only scales or bends the map before it."""
    before = [other for other in layers if other.at == layer.at - 1 and other.shape == layer.shape]
    return bool(before) and not layer.is_block and not isinstance(layer.module, nn.Conv2d)


def _crossing(nodes: list[fx.Node], at: int) -> list[fx.Node]:
    """What the nodes from `at` on need of those before."""
    later = {*nodes[at:]}
    return [node for node in nodes[:at] if later & node.users.keys()]


def _ends(layers: list[_Layer]) -> Iterator[str]:
    """Of each size of map the last block, or the last layer where there are no blocks."""
    for size in dict.fromkeys(layer.size for layer in layers):
        of_size = [layer for layer in layers if layer.size == size]
        yield next((layer for layer in reversed(of_size) if layer.is_block and layer.learns), of_size[-1]).name


def function_of(
    root: nn.Module,
    nodes: Iterable[fx.Node],
    inputs: Iterable[fx.Node],
    outputs: Any,
    added: str | None = None,
    takes: Callable[[fx.Node], bool] = lambda node: False,
) -> Callable[..., Any]:
    """f(root, *inputs[, added]) → outputs, by recorded `nodes`; only the code is kept, not torch.fx's module.

    Nodes that are `takes` get the argument `added` as their last one.
    """
    graph = fx.Graph()
    new = {node: graph.placeholder(node.name) for node in inputs}
    more = graph.placeholder(added) if added else None
    for node in nodes:
        if node in new:
            continue
        new[node] = graph.node_copy(node, new.__getitem__)
        if takes(node):
            new[node].args = (*new[node].args, more)
    graph.output(fx.node.map_arg(outputs, new.__getitem__))
    return type(fx.GraphModule(root, graph)).forward


def uncut(name: str, reason: str) -> WorkbookValueError:
    """The error that says why the network `name` cannot be cut, and what takes its place."""
    return WorkbookValueError(
        f"{name} cannot be cut before its last stage ({reason}). GLSA and GAttANet take networks whose stages hand one map "
        "[B, C, H, W] on, such as resnet50, convnext_tiny, efficientnet_b0 or regnet_y_400mf; for a ViT with a class token take "
        "attention='DCAL' (create_dcal_model), and for any other network lib.gattanet.GAttANet(net, layers) by names of its own."
    )
