"""Layer-wise relevance propagation: what each pixel contributes to an answer, handed down layer by layer (LRP, Bach et al.,
PLoS ONE 2015; for attention AttnLRP, Achtibat et al., arXiv 2402.05602).

Rules for convolutions, and for AttnLRP linear layers, are zennit's, told as gradients; the others those of
`lib.explain.methods.relevance_rules`. A batch norm is merged with the convolution that it follows.
"""

import copy
import math
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError
from lib.explain.methods.blank_images import succeeds
from lib.explain.methods.eval_guards import undisturbed
from lib.explain.methods.extras import needed
from lib.explain.methods.logits import logits_of
from lib.explain.methods.relevance_rules import ruled
from lib.explain.methods.target_layers import convolves
from lib.explain.methods.targets import scores

GAMMA = {nn.Conv2d: 0.25, nn.Linear: 0.05}  # of AttnLRP's γ-rules, as in its paper for ViTs


def lrp(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, H, W]: the positive part of the relevance, summed over the colours, by zennit's EpsilonPlusFlat: convolutions hand
    down to what is positive (z⁺), linear layers to all (ε), and the first layer evenly to the pixels that it sees.

    Raises:
        WorkbookError: zennit is not installed.
        WorkbookValueError: a network with products that have no rule.
    """
    rules = needed("zennit.rules")
    return relevance(model, images, targets, {nn.Conv2d: rules.ZPlus()}, rules.Flat()).sum(1).clamp(min=0)


def attention_lrp(model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """[B, H, W]: the positive part of the relevance, summed over the colours, of a network whose products are those of its
    attention: AttnLRP, with γ-rules (`GAMMA`) for convolutions and linear layers.

    Raises: what `lrp` does.
    """
    rules = {kind: needed("zennit.rules").Gamma(gamma) for kind, gamma in GAMMA.items()}
    return relevance(model, images, targets, rules, attention=True).sum(1).clamp(min=0)


def has_lrp(model: nn.Module) -> bool:
    """Whether `lrp` has a rule for all that `model` does: it is tried."""
    return convolves(model) and _has_rules(model, attention=False)


def has_attention_lrp(model: nn.Module) -> bool:
    """Whether `attention_lrp` has a rule for all that `model` does: it is tried."""
    return _has_rules(model, attention=True)


def _has_rules(model: nn.Module, attention: bool) -> bool:
    def look(model: nn.Module, images: Tensor) -> None:
        refuse_other_weights(model)
        shades = torch.linspace(-1, 1, images.numel(), dtype=images.dtype, device=images.device).view_as(images)
        with undisturbed(model), ruled(model, attention) as check:  # of a blank image all norms make the same
            check(logits_of(model, shades.requires_grad_()))

    return succeeds(model, look)


def relevance(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None,
    rules: dict[type, object],
    first: object | None = None,
    attention: bool = False,
) -> Tensor:
    """[B, 3, H, W]: the relevance of each pixel to the logit, which is what it sums to where the rules conserve it.

    `rules` are zennit's, by the kind of layer that has them, and `first` that of the layer which sees the images, if it has
    another one. With `attention` there are those of `lib.explain.methods.relevance_rules` for it.
    """
    refuse_other_weights(model)
    lowest, mergers = _traced(model, images)
    rules = {kind: _as_gradient(rule) for kind, rule in rules.items()}
    first = None if first is None else _as_gradient(first, divide=False)

    def rule_of(context: dict, name: str, module: nn.Module) -> object | None:
        if first is not None and module is lowest:
            return first
        return next((rule for kind, rule in rules.items() if isinstance(module, kind)), None)

    images = images.clone().requires_grad_()
    with needed("zennit.core").Composite(rule_of, mergers).context(model), ruled(model, attention) as check:
        logits = logits_of(model, images)
        check(logits)
        (gradient,) = torch.autograd.grad(scores(logits.float(), targets).sum(), images)
    return gradient * images.detach() if first is None else gradient


def refuse_other_weights(model: nn.Module) -> None:
    """Raise a WorkbookValueError for a convolution or linear layer that computes with other weights than its `weight`, which
    zennit's rules change: standardised ones (timm's BiT, NFNet), or those of a parametrization; and for layers of TorchScript."""
    for name, layer in model.named_modules():
        if isinstance(layer, torch.jit.ScriptModule):
            raise WorkbookValueError(
                f"{name or type(layer).__name__} is TorchScript, whose layers no rule reaches: explain the network as it was written, "
                "or take integrated-gradients."
            )
        if isinstance(layer, tuple(GAMMA)) and not _uses_its_weight(layer):
            raise WorkbookValueError(
                f"{name}, a {type(layer).__name__}, computes with other weights than its own, for which there is no rule here. "
                "Take integrated-gradients."
            )


@torch.no_grad()
def _uses_its_weight(layer: nn.Conv2d | nn.Linear) -> bool:
    """Whether twice its weight makes twice as much, which is tried of classes that others derived."""
    if "weight" not in layer._parameters:
        return False
    if type(layer).forward in (nn.Conv2d.forward, nn.Linear.forward):
        return True
    sizes = (layer.in_channels, *layer.kernel_size) if isinstance(layer, nn.Conv2d) else (layer.in_features,)
    x = torch.linspace(-1, 1, math.prod(sizes)).to(layer.weight).view(1, *sizes)
    twin = copy.deepcopy(layer)
    twin.weight *= 2
    twin.bias = None
    double, twin.weight = twin(x), layer.weight
    return torch.allclose(double, 2 * twin(x), rtol=0.05, atol=0)


def _as_gradient(rule: object, divide: bool = True) -> object:
    """A rule of zennit's that is handed a gradient instead of relevance and hands one down, but for the last one, which does
    not `divide`: relevance is activation times gradient. A layer may be called several times, and its output be worked on in
    place, which zennit's hooks do not expect."""
    core = needed("zennit.core")

    class AsGradient(type(rule)):
        def backward(self, module: nn.Module, grad_input: tuple, grad_output: tuple) -> tuple:
            of_output = (grad_output[0] * self.stored_tensors["output"],)
            below = super().backward(module, grad_input, of_output)
            inputs = self.stored_tensors["input"]
            return tuple(
                r if r is None or not divide else r / core.stabilize(x.detach(), 1e-10)
                for r, x in zip(below, inputs, strict=False)
            )

    class OfEachCall(core.Hook):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[AsGradient] = []

        def pre_forward(self, module: nn.Module, input: tuple[Tensor, ...]) -> object:
            call = rule.copy()
            call.__class__ = AsGradient
            self.calls.append(call)
            return call.pre_forward(module, input) if torch.is_grad_enabled() else input

        def post_forward(self, module: nn.Module, input: tuple[Tensor, ...], output: Tensor) -> Tensor:
            call = self.calls[-1]
            call.stored_tensors |= {"input": input, "output": output.detach()}
            return call.post_forward(module, input, output).clone()

        def remove(self) -> None:
            for call in self.calls:
                call.remove()
            self.calls.clear()

    return OfEachCall()


def _traced(model: nn.Module, images: Tensor) -> tuple[nn.Module | None, list]:
    """The layer that sees the images first, and zennit's mergers of each batch norm with the convolution that it follows."""
    outputs: dict[int, nn.Module] = {}
    order: list[nn.Module] = []
    followed: list[tuple[nn.Module, nn.Module]] = []
    alive: list[Tensor] = []  # so that no two have one id

    def note(layer: nn.Module, args: tuple, output: Tensor) -> None:
        order.append(layer)
        if isinstance(layer, nn.BatchNorm2d) and id(args[0]) in outputs:
            followed.append((outputs[id(args[0])], layer))
        if isinstance(layer, nn.Conv2d):
            outputs[id(output)] = layer
            alive.append(output)

    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    with ExitStack() as hooks, torch.no_grad():
        for layer in (part for part in model.modules() if isinstance(part, kinds)):
            hooks.enter_context(layer.register_forward_hook(note))
        model(images[:1])
    names = {layer: name for name, layer in model.named_modules()}
    once = [(conv, norm) for conv, norm in followed if order.count(conv) == order.count(norm) == 1]
    merger = needed("zennit.canonizers").NamedMergeBatchNorm([([names[conv]], names[norm]) for conv, norm in once])
    return next(iter(order), None), [merger] if once else []
