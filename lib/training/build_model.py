"""The network that a RunConfig describes, and what one of its forward passes computes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lib.models import create_model
from lib.training.config import RunConfig
from lib.training.settings import BRANCHES


def build_model(config: RunConfig, classes: int, pretrained: bool = True) -> nn.Module:
    """The untrained model that `config` describes (`pretrained=False`: all drawn, where weights are loaded next)."""
    options = config.arguments("network")
    if pretrained:
        options |= {name: getattr(config, name) for name in ("pretrained", "weights", "partial_weights")}
    if config.attention in BRANCHES:
        from lib.dcal import create_dcal_model  # timm takes two seconds to import

        glca, pwca = BRANCHES[config.attention]
        return create_dcal_model(config.backbone, classes, img_size=config.size, glca=glca, pwca=pwca, **options)
    if "position" in options:
        options["image_size"] = config.size  # that its tables are made for
    return create_model(config.backbone, num_classes=classes, attn_type=config.attention, **options)


class OwnDraws(TorchDispatchMode):
    """Within it random numbers of this thread come from a generator of its own: networks whose weights are loaded next, in
    a view say, take none from a training beside them. (`torch.random.fork_rng` would change them for all threads.)"""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator()

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
            takes_one = any(argument.name == "generator" for argument in func._schema.arguments)
            func, kwargs["generator"] = func if takes_one else func.overloadpacket.generator, self.generator
        return func(*args, **kwargs)


# What initialisers call: methods of tensors, and functions of torch.nn.init that are seen before those that they call.
FILLING = {"normal_", "uniform_", "erfinv_", "mul_", "add_", "clamp_", "fill_", "zero_", "constant_"}
FILLING |= {"kaiming_normal_", "kaiming_uniform_", "xavier_normal_", "xavier_uniform_", "trunc_normal_"}


class _Unfilled(TorchFunctionMode):
    """Within it nothing is written into tensors on the `meta` device: they have no values, and writing them is three quarters
    of the time that a network takes to be built there."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in FILLING:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


def build_structure(config: RunConfig, classes: int) -> nn.Module:
    """The same model on the `meta` device: no memory, no weights, no random numbers."""
    with torch.device("meta"), _Unfilled():
        return build_model(config, classes, pretrained=False)


def count_macs(config: RunConfig, classes: int) -> int:
    """Multiply-accumulates of one image's forward: convolutions, matrix products and attention (QKᵀ and AV).

    PyTorch's counter counts two operations for each, and neither norms nor activations. On the `meta` device nothing
    is computed, and attention is taken apart into the products that the counter knows.
    """
    model, images = build_structure(config, classes).eval(), torch.empty(1, 3, *config.size, device="meta")
    from torch.utils.flop_counter import FlopCounterMode  # slow to import, with Triton

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(images)
    return counter.get_total_flops() // 2
