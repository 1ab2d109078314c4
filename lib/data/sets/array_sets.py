"""STL-10, CIFAR-10 and CIFAR-100, whose archives hold arrays: torchvision reads them once their MD5 sums are right.

STL-10 (Coates, Ng & Lee, AISTATS 2011): photographs of 96×96 pixels, 5,000 to train on and 8,000 to test; its 100,000
pictures without a label are not used. CIFAR (Krizhevsky, 2009): photographs of 32×32 pixels, 50,000 and 10,000; of
CIFAR-100's labels the 100 fine ones. On first use the pictures are written beside the arrays as
`png/<class>/<part>_<number>.png` with an `index.csv`; the arrays may go then.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lib.data.file_finder import attach_images, unpacked
from lib.data.image_files import ImageFiles
from lib.data.imageset import ImageSet
from lib.data.table_reader import label_indices, read_table
from lib.errors import WorkbookFileError
from lib.files import save_folder
from lib.progress import Progress

FOLDERS = {"STL10": "stl10_binary", "CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python"}
STL10_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


def load_array_set(which: str, root: Path, name: str, skip_unreadable: bool = False) -> ImageSet:
    """Write the pictures of `which`, one of FOLDERS, once, then read their index.

    Classes stand in alphabetical order, and the official parts are `train` and `test`.

    Raises:
        WorkbookFileError: no data set there, an array missing or damaged, or a picture that was written and is gone
            (unless `skip_unreadable`). WorkbookError: the pictures cannot be written.
    """
    base = unpacked(root, name, FOLDERS[which])
    pictures = base / "png"
    if not pictures.is_dir():
        save_folder(pictures, lambda scratch: _write_pictures(scratch, which, base))
    index = pictures / "index.csv"
    table = read_table(index, ("image_id", "class", "part"))
    classes = tuple(sorted(set(table["class"])))
    table = table.assign(label=label_indices(index, table["class"], classes))
    rows, missing = attach_images([(index, table, ImageFiles(pictures).path)], skip_unreadable)
    return ImageSet(name, classes, rows, unreadable=missing)


load_stl10 = partial(load_array_set, "STL10")
load_cifar10 = partial(load_array_set, "CIFAR10")
load_cifar100 = partial(load_array_set, "CIFAR100")


def torchvision_reader(which: str) -> type:
    """torchvision's class of one of FOLDERS; STL10's is content without its 2.8 GB of unlabelled pictures."""
    from torchvision import datasets  # slow to import

    class LabelledSTL10(datasets.STL10):
        train_list = [entry for entry in datasets.STL10.train_list if not entry[0].startswith("unlabeled")]

    return {"STL10": LabelledSTL10, "CIFAR10": datasets.CIFAR10, "CIFAR100": datasets.CIFAR100}[which]


def _write_pictures(folder: Path, which: str, base: Path) -> None:
    rows = []
    for part in ("train", "test"):
        pixels, labels, classes = _arrays(which, base, part)
        with Progress(len(pixels), f"Writing {which}'s {part} pictures") as bar:
            for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
                image_id, class_name = f"{part}_{number:04d}", classes[label]
                (folder / class_name).mkdir(exist_ok=True)
                Image.fromarray(picture).save(folder / class_name / f"{image_id}.png")
                rows.append((image_id, class_name, part))
                bar.advance()
    pd.DataFrame(rows, columns=["image_id", "class", "part"]).to_csv(folder / "index.csv", index=False)


def _arrays(which: str, base: Path, part: str) -> tuple[np.ndarray, list[int], list[str] | tuple[str, ...]]:
    """Pixels, uint8 [n, H, W, 3], labels [n] and the classes' names of one part."""
    reader, holder = torchvision_reader(which), base.absolute().parent
    try:
        if which == "STL10":
            arrays = reader(holder, split=part)
            return arrays.data.transpose(0, 2, 3, 1), arrays.labels, STL10_CLASSES
        arrays = reader(holder, train=part == "train")
        return arrays.data, arrays.targets, arrays.classes
    except RuntimeError as error:  # torchvision compares MD5 sums and does not say of which file
        files = [file for file, _ in reader.train_list + reader.test_list]
        files += [] if which == "STL10" else [reader.meta["filename"]]
        gone = [file for file in files if not (base / file).is_file()]
        problem = f"lacks {gone[0]}" if gone else "holds a file that is not the official one (MD5 sums differ)"
        raise WorkbookFileError(
            f"{base} {problem}; remove the folder and fetch the set again with `python -m lib.data.download {which}`."
        ) from error
