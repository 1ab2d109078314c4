"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): photographs of 32×32 pixels, 50,000 to train on and 10,000 to test.

Their archives hold pickled arrays, `cifar-10-batches-py` and `cifar-100-python`, which torchvision reads once their
MD5 sums are right. On first use the pictures are written beside them as `png/<class>/<part>_<number>.png` with an
`index.csv`; the arrays may go then. Of CIFAR-100's labels the 100 fine ones are used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lib.data.file_finder import unpacked
from lib.data.imageset import ImageSet
from lib.data.sets.array_archives import load_pictures, read_with_torchvision

FOLDERS = {"CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python"}


def load_cifar10(root: Path, name: str = "CIFAR10", skip_unreadable: bool = False) -> ImageSet:
    """Write the pictures once, then read their index; the official parts are `train` and `test`.

    Raises:
        WorkbookFileError: no data set there, a file missing or damaged, or a picture that was written and is gone
            (unless `skip_unreadable`). WorkbookError: the pictures cannot be written.
    """
    return _load(root, name, "CIFAR10", skip_unreadable)


def load_cifar100(root: Path, name: str = "CIFAR100", skip_unreadable: bool = False) -> ImageSet:
    """As `load_cifar10`, with 100 classes."""
    return _load(root, name, "CIFAR100", skip_unreadable)


def _load(root: Path, name: str, which: str, skip_unreadable: bool) -> ImageSet:
    batches = unpacked(root, name, FOLDERS[which])
    return load_pictures(name, batches / "png", lambda part: _arrays(batches, which, part), skip_unreadable)


def _arrays(batches: Path, which: str, part: str) -> tuple[np.ndarray, list[str]]:
    """Pixels, uint8 [n, 32, 32, 3], and class names [n] of one part."""
    from torchvision import datasets  # slow to import

    reader = {"CIFAR10": datasets.CIFAR10, "CIFAR100": datasets.CIFAR100}[which]
    arrays = read_with_torchvision(reader, batches, which, train=part == "train")
    return arrays.data, [arrays.classes[label] for label in arrays.targets]
