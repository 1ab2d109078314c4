"""What the machine at hand can do: device, mixed precision, memory format."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from pathlib import Path

import torch

from lib.errors import WorkbookValueError, choose
from lib.training.config import DEVICES, RunConfig

LIGHTNING_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def device(name: str = "auto") -> torch.device:
    """The device to compute on.

    Raises:
        WorkbookValueError: an unknown device, or a GPU is asked for and there is none.
    """
    name = choose("device", name, DEVICES)
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise WorkbookValueError(
            "device='cuda' but PyTorch sees no GPU; use device='auto', or check the driver with nvidia-smi."
        )
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def check_devices(config: RunConfig) -> torch.device:
    """The device to compute on, or the kind of all of them.

    Raises:
        WorkbookValueError: what `device` raises, and fewer devices on this machine than `config.devices`.
    """
    where = device(config.device)
    there = torch.cuda.device_count() if where.type == "cuda" else os.cpu_count() or 1
    if config.devices > there:
        what = f"PyTorch sees {there} GPUs" if where.type == "cuda" else f"this machine has {there} processor cores"
        raise WorkbookValueError(f"devices={config.devices}, but {what}; lower devices.")
    return where


def device_name(where: torch.device) -> str:
    """The GPU's or the processor's name."""
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def fast_bf16(where: torch.device) -> bool:
    """Whether bfloat16 is computed by hardware there (elsewhere it is emulated, and slower than float32)."""
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check and check())


def precision(config: RunConfig) -> str:
    """Lightning's name of the precision; `auto` takes bf16 where it helps.

    Raises:
        WorkbookValueError: float16 on a CPU.
    """
    where = device(config.device)
    if config.precision == "16" and where.type == "cpu":
        raise WorkbookValueError("precision='16' needs a GPU; on a CPU use 'bf16', '32' or 'auto'.")
    name = config.precision
    if name == "auto":
        name = "bf16" if fast_bf16(where) else "32"
    return LIGHTNING_PRECISION[name]


def channels_last_helps(config: RunConfig) -> bool:
    """Convolutions in mixed precision run faster with channels last in memory; in float32 on a GPU they do not."""
    return device(config.device).type == "cpu" or "mixed" in precision(config)
