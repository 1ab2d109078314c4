"""Looking into a model without leaving a trace: no gradient, flag, mode or hook is another one afterwards."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lib.errors import WorkbookValueError
from lib.explain.methods.target_objects import Scored

NORMS = (nn.BatchNorm2d, nn.InstanceNorm2d)


def unwrapped(model: nn.Module) -> nn.Module:
    """The network that is compiled, runs on several devices, or answers by a target (`Scored`), itself.

    Raises:
        WorkbookValueError: it is no network.
    """
    if not isinstance(model, nn.Module):
        raise WorkbookValueError(
            f"What is explained is a network, a torch.nn.Module, not {type(model).__name__}: wrap a function in a module whose "
            "forward calls it."
        )
    if isinstance(model, (nn.DataParallel, DistributedDataParallel)):
        return unwrapped(model.module)
    if isinstance(model, Scored):
        return unwrapped(model.model)
    return unwrapped(model._orig_mod) if hasattr(model, "_orig_mod") else model


def as_written(model: nn.Module) -> AbstractContextManager:
    """Parts of `model` that are compiled run as they were written: elsewhere, hooks that are set later do not fire."""
    return _as_written(model.modules())


def _as_written(parts: Iterable[nn.Module]) -> AbstractContextManager:
    if not any("_orig_mod" in part._modules or part._compiled_call_impl is not None for part in parts):
        return nullcontext()  # the compiler takes a second to import
    return torch.compiler.set_stance("force_eager")


def _parts(model: nn.Module) -> list[nn.Module]:
    """What `model.modules()` gives, in any order and three times as fast: it is asked for with every map."""
    parts, waiting = {}, [model]
    while waiting:
        part = waiting.pop()
        if part is not None and part not in parts:
            parts[part] = None
            waiting += part._modules.values()
    return list(parts)


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """`model` in eval mode, and afterwards in what it was; see `as_written`."""
    modes = {module: module.training for module in model.modules()}
    try:
        with as_written(model):
            model.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _strided_alike(parts: Iterable[nn.Module]) -> Iterator[None]:
    """Gradients come to the BatchNorms among `parts` in the layout of what these were given. On a CPU, PyTorch (2.14) reads that
    of a single image wrongly where only one of the two has its channels last, as after tokens were laid out as a map."""

    def hook(norm: nn.Module, args: tuple, output: Tensor) -> None:
        if args and output.requires_grad and args[0].is_cpu and len(args[0]) == 1:
            read = args[0] if isinstance(norm, nn.BatchNorm2d) else args[0].contiguous()  # as InstanceNorm does itself
            output.register_hook(lambda gradient: torch.empty_like(read).copy_(gradient))

    norms = [part for part in parts if isinstance(part, NORMS)]
    handles = [norm.register_forward_hook(hook) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Gradients with respect to images and maps can be asked for, whatever the caller has forbidden: an outer `no_grad`
    or `inference_mode` and frozen parameters do not matter, and what was compiled runs as it was written. Parameters take no gradients meanwhile, which saves their
    cost, and get back their `requires_grad` and `grad`.

    Raises:
        WorkbookValueError: a part of the model is in training mode, or was built under `inference_mode`.
    """
    parts = _parts(model)
    if any(part.training for part in parts):
        name = next(name for name, module in model.named_modules() if module.training)
        part = f" (its part {name!r})" if name else ""
        raise WorkbookValueError(
            f"{type(model).__name__} is in training mode{part}, where answers depend on the batch: call model.eval() first."
        )
    parameters = [p for part in parts for p in part._parameters.values() if p is not None]
    if any(p.is_inference() for p in parameters):
        raise WorkbookValueError(
            f"This {type(model).__name__} was built under torch.inference_mode, which rules out gradients for good: "
            "build or load it outside."
        )
    before = [(p.requires_grad, p.grad) for p in parameters]
    try:
        with torch.inference_mode(False), torch.enable_grad(), _as_written(parts), _strided_alike(parts):
            for p in parameters:
                p.requires_grad_(False)
            yield
    finally:
        for p, (requires_grad, grad) in zip(parameters, before, strict=True):
            p.requires_grad_(requires_grad)
            p.grad = grad
