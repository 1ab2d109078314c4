"""The code that decides what a run computes, as digests: a run whose code has changed is trained again.

Of the model only the classes that it is built of count, with the functions beside them: a new fusion strategy makes no
other strategy's runs stale. Of the rest, the whole files do.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from types import CodeType, FunctionType

import torch
from torch import nn

from lib.sources import statements, statements_of
from lib.training.config import RunConfig
from lib.training.store import build_model

DECIDING = (
    "lib.data.augmentation",
    "lib.data.imageset",
    "lib.data.pixels",
    "lib.data.sampling",
    "lib.data.splits",
    "lib.training.inference",
    "lib.training.losses",
    "lib.training.metrics",
    "lib.training.module",
    "lib.training.optimisers",
    "lib.training.recorder",
    "lib.training.trainer",
)
NOT_OURS = {"torch", "torchvision", "timm", "einops", *sys.stdlib_module_names}  # versions are in the provenance


def code_of(config: RunConfig, classes: int) -> dict[str, str]:
    """{'model code': digest, 'training code': digest} of the code that `config` runs with now."""
    with torch.device("meta"):  # structure only: no memory, no initial weights, no random numbers
        model = build_model(config, classes, pretrained=False)
    training = (statements_of(name) for name in DECIDING)
    return {"model code": _digest(_model_code(model)), "training code": _digest(training)}


def _model_code(model: nn.Module) -> Iterator[str]:
    types = {base for module in model.modules() for base in type(module).__mro__ if _is_ours(base)}
    for each in sorted(types, key=lambda t: (t.__module__, t.__qualname__)):
        yield _source(each)
    for name in sorted({each.__module__ for each in types}):
        functions = inspect.getmembers(sys.modules[name], inspect.isfunction)
        yield from (_source(f) for _, f in functions if f.__module__ == name and name != "__main__")


def _is_ours(type_: type) -> bool:
    """Whether a class is the workbook's or the user's own."""
    return type_.__module__.split(".")[0] not in NOT_OURS


def _source(what: type | FunctionType) -> str:
    try:
        return statements(textwrap.dedent(inspect.getsource(what)))
    except (OSError, TypeError):  # defined where no file holds it, such as a notebook's cell
        methods = vars(what).values() if isinstance(what, type) else [what]
        return "\n".join(_byte_code(m.__code__) for m in methods if isinstance(m, FunctionType))


def _byte_code(code: CodeType) -> str:
    constants = [_byte_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_name} {code.co_code.hex()} {code.co_names} {constants}"


def _digest(texts: Iterator[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
