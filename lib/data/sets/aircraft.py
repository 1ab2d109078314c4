"""FGVC Aircraft (Maji et al., arXiv 1306.5151): 10,000 photographs of 100 variants, as torchvision unpacks them.

Expected in one folder: `variants.txt`, `images_variant_trainval.txt` and `images_variant_test.txt` (image, variant),
`images/<image>.jpg`, and, if there, `images_box.txt` (image, xmin, ymin, xmax, ymax, counted from 1). The lowest 20
pixels of every image are a banner with its source, which would tell photographers apart: it is cut off in decoding
(`BANNER`, told to `lib.data.datasets.DATASETS`).
The published numbers train on train and validation together (6,667 images), so both are `train` here.
"""

from pathlib import Path

import pandas as pd

from lib.data.boxes import read_boxes
from lib.data.file_finder import attach_images, find_base
from lib.data.image_files import ImageFiles
from lib.data.imageset import ImageSet
from lib.data.table_reader import label_indices, lookup, read_list

LISTS = {"train": "images_variant_trainval.txt", "test": "images_variant_test.txt"}
BANNER = 20  # pixels at the bottom


def load_aircraft(root: Path, name: str = "FGVCAircraft", skip_unreadable: bool = False) -> ImageSet:
    """Read both lists and find each image; the classes are the variants, in the order of `variants.txt`.

    Raises:
        WorkbookFileError: no data set there, a list or an image missing (unless `skip_unreadable`).
        WorkbookValueError: a malformed line, an unknown variant, a variant or an image listed twice.
    """
    base = find_base(root, name, LISTS["train"])
    variants = base / "variants.txt"
    classes = tuple(lookup(variants, read_list(variants, "variant"), "variant", "variant"))
    boxes = read_boxes(base / "images_box.txt", "image_id", ("xmin", "ymin", "xmax", "ymax"), corners=True)
    files = ImageFiles(base / "images")
    lists = ((base / file, _variants(base / file, classes, part), files.path) for part, file in LISTS.items())
    rows, missing = attach_images(lists, skip_unreadable)
    rows["box"] = rows["image_id"].map(boxes).fillna("")
    return ImageSet(name, classes, rows, unreadable=missing)


def _variants(path: Path, classes: tuple[str, ...], part: str) -> pd.DataFrame:
    """image_id, variant, label and part of the images in a list."""
    table = read_list(path, "image_id", "variant")
    return table.assign(label=label_indices(path, table["variant"], classes), part=part)
