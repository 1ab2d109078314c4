"""MSMT17 (Wei et al., CVPR 2018) in both of its layouts: 126,441 images of 4,101 people, 15 cameras.

V1 keeps the images in `train/` and `test/`, V2 (faces masked) in `mask_train_v2/` and `mask_test_v2/`. In both
`list_train.txt`, `list_val.txt`, `list_query.txt` and `list_gallery.txt` tell a path and a person a line; the path's
third number is the camera: `0000/0000_000_01_0303morning_0008_0.jpg`. The published protocol trains on list_train and
list_val together (32,621 images). People are counted from 0 in training and again in testing, and are others there:
here training identities begin at 1, those of query and gallery at 10,001.
"""

from pathlib import Path

import pandas as pd

from lib.data.file_finder import ImageList, attach_images, find_base, listed_files
from lib.data.imageset import ImageSet
from lib.data.sets.reid import reid_set
from lib.data.table_reader import read_list, refuse_rows, whole_numbers
from lib.errors import WorkbookFileError

ADVICE = "It is given on request, see https://www.pkuvmc.com/dataset.html; its layouts stand in data/README.md."
FOLDERS = {"train": ("train", "mask_train_v2"), "test": ("test", "mask_test_v2")}
LISTS = {  # list → part, side, identity of its person 0
    "list_train.txt": ("train", "train", 1),
    "list_val.txt": ("train", "train", 1),
    "list_query.txt": ("query", "test", 10_001),
    "list_gallery.txt": ("gallery", "test", 10_001),
}


def load_msmt17(root: Path, name: str = "MSMT17", skip_unreadable: bool = False) -> ImageSet:
    """Read the four lists, queries before the gallery, and find each image.

    Raises:
        WorkbookFileError: no data set there, a list, folder or image missing (the image: unless `skip_unreadable`).
        WorkbookValueError: a malformed line, a path that does not tell the camera.
    """
    base = find_base(root, name, "list_train.txt", ADVICE)
    rows, missing = attach_images((_list(base, file, name) for file in LISTS), skip_unreadable)
    return reid_set(name, rows, missing)


def _list(base: Path, file: str, name: str) -> ImageList:
    part, side, first = LISTS[file]
    images = next((base / inside for inside in FOLDERS[side] if (base / inside).is_dir()), None)
    if images is None:
        raise WorkbookFileError(f"{base} holds neither {' nor '.join(FOLDERS[side])}; unpack {name} again.")
    table = _rows(base / file, file.removesuffix(".txt"), first).assign(part=part)
    return base / file, table, listed_files(table, images)


def _rows(path: Path, prefix: str, first: int) -> pd.DataFrame:
    table = read_list(path, "file", "person")
    camera = table["file"].str.extract(r"(?:^|/)\d+_\d+_(\d+)_[^/]*$")[0]
    refuse_rows(
        path,
        table["file"][camera.isna()],
        "{value!r} does not tell the camera as in 0000/0000_000_01_0303morning_0008_0.jpg",
    )
    return table.assign(
        image_id=prefix + "/" + table["file"].str.rsplit(".", n=1).str[0],
        identity=whole_numbers(path, table["person"]) + first,
        camera=camera.astype(int),
    )
