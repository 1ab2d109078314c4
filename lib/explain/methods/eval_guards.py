"""Looking into a model without leaving a trace: no gradient, flag, mode or hook is another one afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lib.errors import WorkbookValueError


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Gradients with respect to images and maps can be asked for, whatever the caller has forbidden: an outer `no_grad`
    or `inference_mode` and frozen parameters do not matter. Parameters take no gradients meanwhile, which saves their
    cost, and get back their `requires_grad` and `grad`.

    Raises:
        WorkbookValueError: a part of the model is in training mode, or was built under `inference_mode`.
    """
    for name, module in model.named_modules():
        if module.training:
            part = f" (its part {name!r})" if name else ""
            raise WorkbookValueError(
                f"{type(model).__name__} is in training mode{part}, where answers depend on the batch: call model.eval() first."
            )
    parameters = list(model.parameters())
    if any(p.is_inference() for p in parameters):
        raise WorkbookValueError(
            f"This {type(model).__name__} was built under torch.inference_mode, which rules out gradients for good: "
            "build or load it outside."
        )
    before = [(p.requires_grad, p.grad) for p in parameters]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            for p in parameters:
                p.requires_grad_(False)
            yield
    finally:
        for p, (requires_grad, grad) in zip(parameters, before, strict=True):
            p.requires_grad_(requires_grad)
            p.grad = grad
