"""STL-10 (Coates, Ng & Lee, AISTATS 2011): ten classes of 96×96 photographs, 5,000 to train on and 8,000 to test.

Its archive holds arrays, `stl10_binary/{train,test}_{X,y}.bin`, which torchvision reads. On first use the pictures
are written beside them as `stl10_binary/png/<class>/<part>_<number>.png` with an `index.csv`; the arrays may go then.
The 100,000 pictures without a label (`unlabeled_X.bin`) are not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.data.file_finder import unpacked
from lib.data.imageset import ImageSet
from lib.data.sets.array_archives import load_pictures, read_with_torchvision

if TYPE_CHECKING:
    from torchvision.datasets import STL10

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


def load_stl10(root: Path, name: str = "STL10", skip_unreadable: bool = False) -> ImageSet:
    """Write the pictures once, then read their index; the official parts are `train` and `test`.

    Raises:
        WorkbookFileError: no data set there, an array missing or damaged, or a picture that was written and is gone
            (unless `skip_unreadable`). WorkbookError: the pictures cannot be written.
    """
    binary = unpacked(root, name, "stl10_binary")
    return load_pictures(name, binary / "png", lambda part: _arrays(binary, part), skip_unreadable)


def labelled_stl10() -> type[STL10]:
    """torchvision's class, but content without the 2.8 GB of unlabelled pictures; imported when needed: it is slow."""
    from torchvision.datasets import STL10

    class LabelledSTL10(STL10):
        train_list = [entry for entry in STL10.train_list if not entry[0].startswith("unlabeled")]

    return LabelledSTL10


def _arrays(binary: Path, part: str) -> tuple[np.ndarray, list[str]]:
    """Pixels, uint8 [n, 96, 96, 3], and class names [n] of one part."""
    arrays = read_with_torchvision(labelled_stl10(), binary, "STL10", split=part)
    return arrays.data.transpose(0, 2, 3, 1), [CLASSES[label] for label in arrays.labels]
