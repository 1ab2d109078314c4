"""STL-10 (Coates, Ng & Lee, AISTATS 2011): ten classes of 96×96 photographs, 5,000 to train on and 8,000 to test.

Its archive holds arrays, `stl10_binary/{train,test}_{X,y}.bin`, which torchvision reads. On first use the pictures
are written beside them as `stl10_binary/png/<class>/<part>_<number>.png` with an `index.csv`; the arrays may go then.
The 100,000 pictures without a label (`unlabeled_X.bin`) are not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.data.imageset import ImageSet, folder, unpacked
from lib.data.sets.array_archives import load_pictures
from lib.errors import WorkbookFileError

if TYPE_CHECKING:
    from torchvision.datasets import STL10

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


def load_stl10(root: Path, name: str = "STL10", skip_unreadable: bool = False) -> ImageSet:
    """Write the pictures once, then read their index; the official parts are `train` and `test`.

    Raises:
        WorkbookFileError: no data set there, an array missing or damaged, or a picture that was written and is gone
            (unless `skip_unreadable`). WorkbookError: the pictures cannot be written.
    """
    binary = unpacked(folder(root, name), "stl10_binary")
    if binary is None:
        raise WorkbookFileError(
            f"{root} is no STL-10 data set: no folder stl10_binary in it. Give the folder that holds it, or that folder "
            f"itself, or fetch the set with `python -m lib.data.download {name}`."
        )
    return load_pictures(name, binary / "png", lambda part: _arrays(binary, part), skip_unreadable)


def labelled_stl10() -> type[STL10]:
    """torchvision's class, but content without the 2.8 GB of unlabelled pictures; imported when needed: it is slow."""
    from torchvision.datasets import STL10

    class LabelledSTL10(STL10):
        train_list = [entry for entry in STL10.train_list if not entry[0].startswith("unlabeled")]

    return LabelledSTL10


def _arrays(binary: Path, part: str) -> tuple[np.ndarray, list[str]]:
    """Pixels, uint8 [n, 96, 96, 3], and class names [n] of one part."""
    reader = labelled_stl10()
    try:
        read = reader(binary.parent, split=part)
    except RuntimeError as error:  # torchvision compares MD5 sums and does not say of which file
        gone = [file for file, _ in reader.train_list + reader.test_list if not (binary / file).is_file()]
        what = f"lacks {gone[0]}" if gone else "holds an array that is not the official one (MD5 sums differ)"
        raise WorkbookFileError(
            f"{binary} {what}; remove the folder and fetch the set again with `python -m lib.data.download STL10`."
        ) from error
    return read.data.transpose(0, 2, 3, 1), [CLASSES[label] for label in read.labels]
