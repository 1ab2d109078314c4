"""FGVC Aircraft (Maji et al., arXiv 1306.5151): 10,000 photographs of 100 variants, as torchvision unpacks them.

Expected in one folder: `variants.txt`, `images_variant_trainval.txt` and `images_variant_test.txt` (image, variant),
`images/<image>.jpg`, and, if there, `images_box.txt` (image, xmin, ymin, xmax, ymax, counted from 1). The lowest 20
pixels of every image are a banner with its source, which would tell photographers apart: it is cut off in decoding
(`BANNER`, told to `lib.data.datasets.DATASETS`).
The published numbers train on train and validation together (6,667 images), so both are `train` here.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lib.data.boxes import corners_text
from lib.data.imageset import ImageSet, attach_images, folder, images_by_stem, label_indices
from lib.data.sets.lists import find_base, looked_up, read_list

ADVICE = "Fetch the set with `python -m lib.data.download FGVCAircraft`."
LISTS = {"train": "images_variant_trainval.txt", "test": "images_variant_test.txt"}
BANNER = 20  # pixels at the bottom


def load_aircraft(root: Path, name: str = "FGVCAircraft", skip_unreadable: bool = False) -> ImageSet:
    """Read both lists and find each image; the classes are the variants, in the order of `variants.txt`.

    Raises:
        WorkbookFileError: no data set there, a list or an image missing (unless `skip_unreadable`).
        WorkbookValueError: a malformed line, an unknown variant, a variant or an image listed twice.
    """
    base = find_base(folder(root, name), name, LISTS["train"], ADVICE)
    variants = base / "variants.txt"
    classes = tuple(looked_up(variants, read_list(variants, "variant"), "variant", "variant"))
    boxes = _boxes(base / "images_box.txt")
    files = images_by_stem(base / "images")
    found, missing = [], ()
    for part, file in LISTS.items():
        path = base / file
        table = read_list(path, "image_id", "variant")
        table = table.assign(label=label_indices(path, table["variant"], classes), part=part)
        rows, lines = attach_images(path, table, files, skip_unreadable)
        found.append(rows)
        missing += lines
    rows = pd.concat(found, ignore_index=True)
    rows = rows[["image_id", "path", "label", "part"]].assign(
        group=rows["image_id"], mask="", box=rows["image_id"].map(boxes).fillna("")
    )
    return ImageSet(name, classes, rows, unreadable=missing)


def _boxes(path: Path) -> dict[str, str]:
    """Image → "x y width height", counted from 0; empty where the file is missing."""
    if not path.is_file():
        return {}
    table = read_list(path, "image_id", "xmin", "ymin", "xmax", "ymax")
    corners = table[["xmin", "ymin", "xmax", "ymax"]]
    return looked_up(path, table.assign(box=corners_text(path, corners)), "image_id", "box")
