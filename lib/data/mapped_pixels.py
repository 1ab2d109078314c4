"""A mapped array of pixels that is looked at before it is read."""

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from lib.errors import InputLost


class MappedPixels(np.memmap):
    """A read-only map of a file that may be cut off while it is used: read then, the system would kill the process
    (SIGBUS) without a word.

    Raises:
        InputLost: while indexing: the file is shorter by now than what was mapped of it.
    """

    @classmethod
    def of(cls, path: Path) -> np.ndarray:
        """The array in the .npy file at `path`."""
        return np.load(path, mmap_mode="r").view(cls)

    def __getitem__(self, index: Any) -> Any:
        mapped = self._mmap
        if isinstance(mapped, mmap.mmap) and mapped.size() < len(mapped):
            raise InputLost(
                f"{self.filename} was cut off while it was read: {mapped.size():,} of {len(mapped):,} bytes are left."
            )
        found = super().__getitem__(index)
        return found.view(np.ndarray) if isinstance(found, MappedPixels) and found._mmap is None else found
