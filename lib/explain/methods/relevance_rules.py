"""The rules of layer-wise relevance propagation for what is no convolution, as changes of the backward pass.

Relevance is activation times gradient (the efficient form of AttnLRP, Achtibat et al., arXiv 2402.05602). Sums, such as
residual connections, pools, normalisation by fixed statistics and linear layers (ε-rule) then need no rule. What has one:

* activation functions, x · (f(x) / x), the fraction held fixed (identity rule);
* LayerNorm, GroupNorm and InstanceNorm, their deviation held fixed; vectors that are divided by their length, as the queries
  and keys of cosine attention, the length held fixed;
* gates, sigmoids that something is multiplied by, held fixed;
* attention of any form that multiplies by PyTorch's own functions: of each matrix product of two tensors that depend on the
  image, half the relevance goes to either (uniform rule).

A network with any other such product, norm or curve has no rule: relevance would be counted twice, or lost. A product by what
depends on no image, such as learned queries or biases of position, is a linear layer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lib.errors import WorkbookValueError
from lib.explain.methods.logits import differentiable

# In the names of activation functions, in any case; those that are straight on both sides of 0 keep relevance as they are.
CURVED = ("elu", "silu", "swish", "mish", "tanh", "softplus", "softsign")
STRAIGHT = ("ReLU", "LeakyReLU", "PReLU", "RReLU")
GATES = ("sigmoid",)  # at the end of theirs
ACTIVATIONS = {F.gelu, F.silu, F.mish, F.elu, F.selu, F.celu, F.softplus, F.softsign, F.hardswish, F.relu6, F.hardtanh}
ACTIVATIONS |= {F.tanh, torch.tanh, Tensor.tanh}
# Products of matrices, by the place of the first factor among the arguments.
MATRIX_PRODUCTS = {torch.baddbmm: 1, Tensor.baddbmm: 1, torch.einsum: 1}
MATRIX_PRODUCTS |= dict.fromkeys((torch.matmul, torch.bmm, torch.mm, torch.mv), 0)
MATRIX_PRODUCTS |= dict.fromkeys(
    (Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__, Tensor.bmm, Tensor.mm, Tensor.mv), 0
)
ATTENTIONS = (F.scaled_dot_product_attention, F.multi_head_attention_forward)
ASKED = ("query", "key", "value")
# Beginnings of the names of autograd's nodes: products where two tensors of the graph meet, and curves and norms that no rule
# has taken the place of.
PRODUCTS = (
    "Mul",
    "Div",
    "Dot",
    "Bmm",
    "Baddbmm",
    "Addbmm",
    "Mm",
    "Addmm",
    "Mv",
    "Addmv",
    "ScaledDotProduct",
    "Convolution",
)
PRODUCTS += ("Bilinear", "Cdist", "CosineSimilarity", "Pow")
CURVES = (
    "Gelu",
    "Silu",
    "Mish",
    "Elu",
    "Celu",
    "Glu",
    "Tanh",
    "Softplus",
    "Hardswish",
    "Hardsigmoid",
    "Hardtanh",
    "Sigmoid",
)
CURVES += (
    "ExpBackward",
    "Exp2",
    "Expm1",
    "LogBackward",
    "Log1P",
    "LogSoftmax",
    "LogSigmoid",
    "PowBackward",
    "Sqrt",
    "Rsqrt",
)
CURVES += (
    "Reciprocal",
    "Std",
    "Var",
    "Sin",
    "Cos",
    "Erf",
    "NativeLayerNorm",
    "NativeGroupNorm",
    "FusedRmsNorm",
    "LinalgVectorNorm",
)
CLOSE = 0.05  # of a norm's greatest output: half precision rounds otherwise


@contextmanager
def ruled(model: nn.Module, attention: bool) -> Iterator[Callable[[Tensor], None]]:
    """The rules for activation functions, norms, gates and attention, in a with-block, and what raises a WorkbookValueError
    for logits that something without a rule led to, or no gradient, or, where it is wanted, no attention."""
    functions = _Functions(attention)
    with ExitStack() as hooks:
        for part in model.modules():
            kind = type(part).__name__
            if _is_norm(part):
                hooks.enter_context(part.register_forward_hook(_fixed_norm))
            elif not list(part.children()) and kind not in STRAIGHT and any(name in kind.lower() for name in CURVED):
                given: list[Tensor] = []
                hooks.enter_context(part.register_forward_pre_hook(partial(_keep, given)))
                hooks.enter_context(part.register_forward_hook(partial(_identity, given)))
            elif kind.lower().endswith(GATES):
                hooks.enter_context(part.register_forward_hook(lambda _, args, out: out.detach()))
        hooks.enter_context(functions)

        def check(logits: Tensor) -> None:
            differentiable(logits)
            kind = type(model).__name__
            if attention and not functions.products:
                raise WorkbookValueError(f"This {kind} attends nowhere, as far as its products tell: take lrp.")
            for name, product in _without_rule(logits, functions.products, attention):
                what = (
                    "multiplies what depends on the image by each other"
                    if product
                    else "bends what depends on the image"
                )
                raise WorkbookValueError(
                    f"This {kind} {what} ({name}), for which there is no rule here: relevance would be counted twice, or lost. "
                    "Take integrated-gradients."
                )

        yield check


class _Functions(TorchFunctionMode):
    """The rules for what networks compute by functions, in a with-block. `products` are the nodes of autograd's graph that
    the rule for attention has passed."""

    def __init__(self, attention: bool) -> None:
        super().__init__()
        self.attention = attention
        self.products: set[Any] = set()

    def __torch_function__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in ACTIVATIONS and args:
            output = func(*args, **kwargs)
            return (
                output if output is args[0] else _identity([args[0]], None, args, output)
            )  # or it was worked on in place
        if func is F.normalize:
            return _of_fixed_length(*args, **kwargs)
        if func is F.cosine_similarity:
            return self._cosine(*args, **kwargs)
        if self.attention and func in MATRIX_PRODUCTS:
            return self._product(func, args, kwargs)
        if self.attention and func in ATTENTIONS:
            return self._attention(func, args, kwargs)
        return func(*args, **kwargs)

    def _product(self, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        first = MATRIX_PRODUCTS[func]
        factors, named = args[first:], {name: x for name, x in kwargs.items() if name != "input" or not first}
        if len(factors) == 1 and isinstance(factors[0], (list, tuple)):  # as einsum may have them
            factors = tuple(factors[0])
        dependent = [x for x in (*factors, *named.values()) if _depends(x)]
        if len(dependent) < 2:
            return func(*args, **kwargs)
        share = 1 / len(dependent)
        factors = [_scaled(x, share) if _depends(x) else x for x in factors]
        named = {name: _scaled(x, share) if _depends(x) else x for name, x in named.items()}
        output = func(*args[:first], *factors, **kwargs | named)
        self._pass(output, [*factors, *named.values()])
        return output

    def _attention(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        names = (*ASKED, "attn_mask") if func is F.scaled_dot_product_attention else ASKED
        given = dict(zip(names, args, strict=False)) | kwargs
        query, key, value = (_depends(given[name]) for name in ASKED)
        mask = _depends(given.get("attn_mask"))
        of_values = 1 / 2 if query or key or mask else 1
        of_scores = 1 / 2 if value else 1
        of_queries = of_scores / (2 if query and key else 1)
        for name, share in zip((*ASKED, "attn_mask"), (of_queries, of_queries, of_values, of_scores), strict=True):
            if _depends(given.get(name)):
                given[name] = _scaled(given[name], share)
        scaled = [given[name] for name in ASKED]
        output = (
            func(*args[len(names) :], **given) if func is ATTENTIONS[0] else func(*scaled, *args[3:], **_rest(given))
        )
        self._pass(output if isinstance(output, Tensor) else output[0], [*scaled, given.get("attn_mask")])
        return output

    def _cosine(self, x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
        share = 1 / 2 if _depends(x1) and _depends(x2) else 1
        factors = [_scaled(_of_fixed_length(x, dim=dim, eps=eps), share) for x in (x1, x2)]
        output = (factors[0] * factors[1]).sum(dim)
        if share < 1:
            self._pass(output, factors)
        return output

    def _pass(self, output: Tensor, inputs: list[Any]) -> None:
        """Note the nodes between `output` and `inputs`."""
        ends = {x.grad_fn for x in inputs if _depends(x)}
        self.products.update(_nodes(output.grad_fn, ends))


def _rest(given: dict[str, Any]) -> dict[str, Any]:
    return {name: x for name, x in given.items() if name not in ASKED}


def _depends(x: object) -> bool:
    """Whether `x` is a tensor that depends on the image."""
    return isinstance(x, Tensor) and x.requires_grad


def _of_fixed_length(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    return input / input.detach().norm(p, dim, keepdim=True).clamp_min(eps)


def _keep(kept: list[Tensor], module: nn.Module, args: tuple) -> tuple:
    """Keeps what an activation function is given, which it may work on in place."""
    kept[:] = args[:1]
    return (args[0].clone(), *args[1:])


def _identity(kept: list[Tensor], module: nn.Module | None, args: tuple, output: Tensor) -> Tensor:
    (x,) = kept
    kept.clear()
    with torch.no_grad():
        share = torch.where(x.abs() > 1e-10, output / x, 0)
    return x * share


def _is_norm(part: nn.Module) -> bool:
    """Whether `part` normalises by statistics of the image itself."""
    if isinstance(part, nn.InstanceNorm2d):
        return not part.track_running_stats
    return isinstance(part, (nn.LayerNorm, nn.GroupNorm))


def _fixed_norm(norm: nn.Module, args: tuple, output: Tensor) -> Tensor:
    """The norm's output, with its deviation held fixed.

    Libraries derive norms that have channels first, and ones with an activation function within (timm's `act`). Which a
    class is, what it gave tells.

    Raises:
        WorkbookValueError: it gave something else.
    """
    act = getattr(norm, "act", nn.Identity())
    made = [act(each) for each in _normalised(norm, args[0])]
    off = [(each - output).abs().max() for each in made]
    if not made or min(off) > CLOSE * output.abs().max():
        raise WorkbookValueError(
            f"{type(norm).__name__} is a norm for which there is no rule here. Take integrated-gradients."
        )
    return made[off.index(min(off))]


def _normalised(norm: nn.Module, x: Tensor) -> Iterator[Tensor]:
    """What a norm of these weights may make of x, by each layout of its axes."""
    by_channel = (-1, *[1] * (x.ndim - 2))
    if not isinstance(norm, nn.LayerNorm):
        groups = x.unflatten(1, (getattr(norm, "num_groups", x.shape[1]), -1))
        standard = _standardised(groups, tuple(range(2, groups.ndim)), norm.eps).flatten(1, 2)
        yield _affine(norm, standard, by_channel)
        return
    shape = tuple(norm.normalized_shape)
    if x.shape[-len(shape) :] == shape:
        yield _affine(norm, _standardised(x, tuple(range(-len(shape), 0)), norm.eps), shape)
    if x.ndim > 2 and x.shape[1:2] == shape:
        yield _affine(norm, _standardised(x, (1,), norm.eps), by_channel)


def _standardised(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(dims, keepdim=True)
    return centred / (centred.detach().square().mean(dims, keepdim=True) + eps).sqrt()


def _affine(norm: nn.Module, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    weight = 1.0 if norm.weight is None else norm.weight.reshape(shape)
    bias = 0.0 if norm.bias is None else norm.bias.reshape(shape)
    return x * weight + bias


def _scaled(x: Tensor, share: float) -> Tensor:
    """`x`, whose gradient is multiplied by `share`."""
    if not x.requires_grad:
        return x
    x = x.view_as(x)
    x.register_hook(lambda gradient: gradient * share)
    return x


def _without_rule(logits: Tensor, passed: set[Any], attention: bool) -> Iterator[tuple[str, bool]]:
    """Names of the nodes in the graph of `logits`, but those that are `passed`, that multiply two of its tensors, True, or bend
    one; with `attention` softmax is none of these."""
    for node in _nodes(logits.grad_fn):
        name = node.name()
        if node in passed:
            continue
        product = name.startswith(PRODUCTS) and len(_below(node)) > 1
        if product or name.startswith(CURVES) or (name.startswith("Softmax") and not attention):
            yield name, product


def _nodes(node: Any, ends: Collection[Any] = ()) -> Iterator[Any]:
    """The nodes of autograd's graph from `node` down to the `ends`, without these."""
    seen, waiting = {None, *ends}, [node]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += _below(node)
            yield node


def _below(node: Any) -> list[Any]:
    """The nodes whose tensors `node` works on, without parameters, which zennit may set anew."""
    sources = [source for source, _ in node.next_functions if source is not None]
    return [source for source in sources if not isinstance(getattr(source, "variable", None), nn.Parameter)]
