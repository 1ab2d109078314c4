"""Tensors as a safetensors file, whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from lib.files import write_bytes


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write `tensors`, which lie on the CPU in one piece each, with `metadata`.

    Not by safetensors' own `save_file`: that goes through a file of its own, `.tmp…`, which stays when it is killed and
    which nobody else may read, whatever the umask says.

    Raises:
        WorkbookError: the disk is full or the folder cannot be written.
    """
    write_bytes(path, save(dict(tensors), metadata and dict(metadata)))
