"""Tensors as a safetensors file, whole or not at all."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lib.files import save_whole


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write `tensors`, which lie on the CPU in one piece each, with `metadata`.

    Raises:
        WorkbookError: the disk is full or the folder cannot be written.
    """

    def save(scratch: Path) -> None:
        try:
            save_file(dict(tensors), scratch, metadata and dict(metadata))
        except SafetensorError as error:  # safetensors 0.8 tells what the system complains of in its text alone
            if number := re.search(r"\(os error (\d+)\)", str(error)):
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
            raise

    save_whole(path, save, sum(tensor.nbytes for tensor in tensors.values()))
