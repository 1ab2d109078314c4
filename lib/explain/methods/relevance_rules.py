"""The rules of layer-wise relevance propagation for what is no convolution, as changes of the backward pass.

Relevance is activation times gradient (the efficient form of AttnLRP, Achtibat et al., arXiv 2402.05602). Sums, such as
residual connections, pools, normalisation by fixed statistics and linear layers (ε-rule) then need no rule. What has one:

* activation functions, x · (f(x) / x), the fraction held fixed (identity rule);
* LayerNorm, GroupNorm and InstanceNorm, their deviation held fixed;
* gates, sigmoids that something is multiplied by, held fixed;
* attention: relevance is halved at each of its two products of what depends on the image (uniform rule).

A network with any other such product or norm has no rule: relevance would be counted twice, or lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError
from lib.explain.methods.logits import differentiable

CURVED = ("GELU", "SiLU", "Swish", "Mish", "ELU", "Tanh", "Softplus")  # in the names of activation functions
GATES = ("sigmoid",)  # at the end of theirs
QUERIES_AND_KEYS, VALUES = (
    1 / 4,
    1 / 2,
)  # of the gradient goes on: two products behind the former, one behind the latter
PROJECTIONS = (("query", "key", "value"), ("q_proj", "k_proj", "v_proj"), ("q", "k", "v"))
ATTENTION = ("Bmm", "ScaledDotProduct", "Softmax")  # beginnings of the names of autograd's nodes
PRODUCTS = ("MulBackward0", "DotBackward0")
NORMS = ("NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm")  # left in a graph where no module has a rule for them
CLOSE = 0.05  # of a norm's greatest output: half precision rounds otherwise


@contextmanager
def ruled(model: nn.Module, attention: bool) -> Iterator[Callable[[Tensor], None]]:
    """The rules for activation functions, norms, gates and attention, in a with-block, and what raises a WorkbookValueError
    for logits that products without a rule led to, or no gradient."""
    attended: dict[nn.Module, bool] = {}  # whether its projections were seen at work
    with ExitStack() as hooks:
        for part in model.modules():
            kind = type(part).__name__
            if _is_norm(part):
                hooks.enter_context(part.register_forward_hook(_fixed_norm))
            elif not list(part.children()) and any(name in kind for name in CURVED):
                given: list[Tensor] = []
                hooks.enter_context(part.register_forward_pre_hook(partial(_keep, given)))
                hooks.enter_context(part.register_forward_hook(partial(_identity, given)))
            elif kind.lower().endswith(GATES):
                hooks.enter_context(part.register_forward_hook(lambda _, args, out: out.detach()))
            elif attention and (names := projections_of(part)) is not None:
                attended[part] = False
                for hook in _halve(part, names, attended):
                    hooks.enter_context(hook)

        def check(logits: Tensor) -> None:
            differentiable(logits)
            product = next(_products(logits, attention), None)
            if product is None and not all(attended.values()):
                product = f"attention of {type(next(part for part, seen in attended.items() if not seen)).__name__}"
            if product is not None:
                raise WorkbookValueError(
                    f"This {type(model).__name__} multiplies what depends on the image by each other ({product}), for which there "
                    "is no rule here: relevance would be counted twice, or lost. Take integrated-gradients."
                )

        yield check


def _keep(kept: list[Tensor], module: nn.Module, args: tuple) -> tuple:
    """Keeps what an activation function is given, which it may work on in place."""
    kept[:] = args[:1]
    return (args[0].clone(), *args[1:])


def _identity(kept: list[Tensor], module: nn.Module, args: tuple, output: Tensor) -> Tensor:
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


def projections_of(part: nn.Module) -> tuple[str, ...] | None:
    """The names of the layers by which attention projects its tokens, () where they are PyTorch's own; None of what is no
    attention."""
    if isinstance(part, nn.MultiheadAttention):
        return ()
    known = (("qkv",), *PROJECTIONS)
    return next(
        (names for names in known if all(isinstance(getattr(part, name, None), nn.Linear) for name in names)), None
    )


def _halve(part: nn.Module, names: tuple[str, ...], attended: dict[nn.Module, bool]) -> Iterator:
    """Hooks that leave of the gradient of queries, keys and values what the uniform rule does."""
    shares = (QUERIES_AND_KEYS, QUERIES_AND_KEYS, VALUES)

    def of_tokens(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        attended[part] = True
        given = dict(zip(PROJECTIONS[0], args, strict=False)) | kwargs
        return args[3:], given | {name: _scaled(given[name], s) for name, s in zip(PROJECTIONS[0], shares, strict=True)}

    def of_projection(share: float, module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        attended[part] = True
        return _scaled(output, share)

    def of_all(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        attended[part] = True
        parts = zip(output.tensor_split(3, dim=-1), shares, strict=True)
        return torch.cat([_scaled(x, share) for x, share in parts], dim=-1)

    if not names:
        yield part.register_forward_pre_hook(of_tokens, with_kwargs=True)
    elif len(names) == 1:
        yield part.qkv.register_forward_hook(of_all)
    else:
        for name, share in zip(names, shares, strict=True):
            yield getattr(part, name).register_forward_hook(partial(of_projection, share))


def _scaled(x: Tensor, share: float) -> Tensor:
    """`x`, whose gradient is multiplied by `share`."""
    if not x.requires_grad:
        return x
    x = x.view_as(x)
    x.register_hook(lambda gradient: gradient * share)
    return x


def _products(logits: Tensor, attention: bool) -> Iterator[str]:
    """Names of the nodes in the graph of `logits` that multiply two of its tensors; with `attention` not of those by which
    attention is computed."""
    seen, waiting = set(), [logits.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        below = [source for source, _ in node.next_functions if source is not None]
        waiting += below
        name = node.name()
        product = name.startswith(("Softmax", *NORMS)) or (len(below) > 1 and name.startswith((*ATTENTION, *PRODUCTS)))
        if product and not (attention and name.startswith(ATTENTION)):
            yield name
