"""What the machine at hand can do: device, mixed precision, memory format; each by the name that RunConfig has for it."""

import contextlib
import os
import platform
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from lib.errors import WorkbookValueError, choose

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "32", "bf16", "16")
AUTOCAST = {"bf16": torch.bfloat16, "16": torch.float16}
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


def check_devices(name: str, devices: int, sync_batchnorm: bool = False) -> torch.device:
    """The device to compute on, or the kind of all of them.

    Raises:
        WorkbookValueError: what `device` raises, fewer than `devices` on this machine, and CPUs that are to synchronise batch
            normalisation.
    """
    where = device(name)
    if sync_batchnorm and where.type == "cpu":
        raise WorkbookValueError("sync_batchnorm=True needs GPUs, and PyTorch sees none: leave it out.")
    there = torch.cuda.device_count() if where.type == "cuda" else os.cpu_count() or 1
    if devices > there:
        what = f"PyTorch sees {there} GPUs" if where.type == "cuda" else f"this machine has {there} processor cores"
        raise WorkbookValueError(f"devices={devices}, but {what}; lower devices.")
    return where


def device_name(where: torch.device) -> str:
    """The GPU's or the processor's name."""
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    with contextlib.suppress(OSError):
        model_name = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if model_name:
            return model_name[1].strip()
    return platform.processor() or platform.machine()


def fast_bf16(where: torch.device) -> bool:
    """Whether bfloat16 is computed by hardware there (elsewhere it is emulated, and slower than float32)."""
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check and check())


def resolved_precision(name: str, where: torch.device) -> str:
    """ "32", "bf16" or "16": `name`, or for "auto" bf16 where hardware computes it.

    Raises:
        WorkbookValueError: an unknown precision.
    """
    name = choose("precision", name, PRECISIONS)
    return ("bf16" if fast_bf16(where) else "32") if name == "auto" else name


def mixed_precision(name: str, where: torch.device) -> AbstractContextManager:
    """Autocast on the device for "bf16" and "16"; "32" leaves the caller's autocast, if there is one, as it is.

    Raises:
        WorkbookValueError: an unknown precision.
    """
    name = resolved_precision(name, where)
    return nullcontext() if name == "32" else torch.autocast(where.type, AUTOCAST[name])


def lightning_precision(name: str, where: torch.device) -> str:
    """Lightning's name of the precision.

    Raises:
        WorkbookValueError: float16 on a CPU, or an unknown precision.
    """
    if name == "16" and where.type == "cpu":
        raise WorkbookValueError("precision='16' needs a GPU; on a CPU use 'bf16', '32' or 'auto'.")
    return LIGHTNING_PRECISION[resolved_precision(name, where)]


@contextlib.contextmanager
def drawing_from(seed: int, where: torch.device) -> Iterator[None]:
    """Inside, random numbers on `where` and on the CPU follow from `seed`; outside, as if none had been drawn.

    Where only the CPU computes no other device is asked: `torch.manual_seed` seeds each kind, and notes the stack for those
    that are not in use yet, which takes as long as a tenth of a small network's training step.
    """
    only_cpu = where.type == "cpu"
    with torch.random.fork_rng(() if only_cpu else None):
        (torch.default_generator if only_cpu else torch).manual_seed(seed)
        yield


def channels_last_helps(precision: str, where: torch.device) -> bool:
    """Convolutions in mixed precision run faster with channels last in memory; in float32 on a GPU they do not."""
    return where.type == "cpu" or resolved_precision(precision, where) != "32"
