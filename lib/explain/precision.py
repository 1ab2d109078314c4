"""Mixed precision by the names that RunConfig has for it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from lib.errors import choose
from lib.training.config import PRECISIONS
from lib.training.hardware import fast_bf16

DTYPES = {"bf16": torch.bfloat16, "16": torch.float16}


def mixed_precision(precision: str, device: torch.device) -> AbstractContextManager:
    """Autocast on `device` for "bf16" and "16"; "auto" is bf16 where hardware computes it. "32" leaves the caller's
    autocast, if there is one, as it is.

    Raises:
        WorkbookValueError: an unknown precision.
    """
    precision = choose("precision", precision, PRECISIONS)
    if precision == "auto":
        precision = "bf16" if fast_bf16(device) else "32"
    return nullcontext() if precision == "32" else torch.autocast(device.type, DTYPES[precision])
