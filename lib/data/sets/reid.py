"""Re-identification sets that tell identity and camera in the file's name: Market-1501, DukeMTMC-reID, VeRi-776.

`0002_c1s1_000451_03.jpg` is identity 2, camera 1 (Market-1501, Zheng et al., ICCV 2015; −1 is junk, 0 a distractor),
`0001_c2_f0046182.jpg` identity 1, camera 2 (DukeMTMC-reID, Zheng et al., ICCV 2017; its authors withdrew DukeMTMC in
2019), `0001_c001_00016450_0.jpg` identity 1, camera 1 (VeRi-776, Liu et al., ECCV 2016). Market-1501 as it is shipped
has a file `1488_c1s6_023021_00.jpg.jpg`. An image's id is its folder and name: VeRi's queries stand in its gallery, too, where the protocol leaves them out as seen by the same camera.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from lib.data.file_finder import ImageList, attach_images, find_base, listed_files
from lib.data.image_names import is_image
from lib.data.imageset import ImageSet, label_identities
from lib.data.table_reader import read_list
from lib.errors import WorkbookFileError, WorkbookValueError
from lib.file_tree import data_in


@dataclass(frozen=True)
class Layout:
    """How a set lies on disk."""

    folders: dict[str, str]  # part → folder
    names: str  # pattern of a file's name, with the groups `identity` and `camera`
    example: str
    advice: str  # where to get it
    lists: dict[str, str]  # part → the list of its files, where the set has one; without it all files count


MARKET = Layout(
    {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"},
    r"(?P<identity>-1|\d+)_c(?P<camera>\d+)s\d+_\d+_\d+",
    "0002_c1s1_000451_03.jpg",
    "The archive is Market-1501-v15.09.15.zip of https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html; its "
    "layout stands in data/README.md.",
    {},
)
DUKE = Layout(
    MARKET.folders,
    r"(?P<identity>\d+)_c(?P<camera>\d+)_f\d+",
    "0001_c2_f0046182.jpg",
    "Its authors withdrew the set in 2019 and no official host serves it; its layout stands in data/README.md.",
    {},
)
VERI = Layout(
    {"train": "image_train", "query": "image_query", "gallery": "image_test"},
    r"(?P<identity>\d+)_c(?P<camera>\d+)_\d+(_\d+)?",
    "0001_c001_00016450_0.jpg",
    "It is given on request, see https://github.com/JDAI-CV/VeRidataset; its layout stands in data/README.md.",
    {"train": "name_train.txt", "query": "name_query.txt", "gallery": "name_test.txt"},
)


def load_named(layout: Layout, root: Path, name: str, skip_unreadable: bool = False) -> ImageSet:
    """Read the folders (and lists, if there are any) of a set in `layout`, queries before the gallery.

    Raises:
        WorkbookFileError: no data set there, a part without an image, a listed image that is missing (unless
            `skip_unreadable`). WorkbookValueError: a file whose name does not tell identity and camera.
    """
    base = find_base(root, name, layout.folders["train"], layout.advice)
    rows, missing = attach_images((_list(layout, base, part, name) for part in layout.folders), skip_unreadable)
    return reid_set(name, rows, missing)


def reid_set(name: str, rows: pd.DataFrame, unreadable: tuple[str, ...] = ()) -> ImageSet:
    """The image set of `rows` with image_id, path, part, identity and camera: see `ImageSet` and `label_identities`.

    An identity is a group; a distractor or junk image is one of its own, for it may show anybody.
    """
    somebody = rows["identity"] > 0
    classes, labels = label_identities(rows)
    group = rows["identity"].map("{:04d}".format).where(somebody, rows["image_id"])
    columns = rows[["image_id", "path", "part", "identity", "camera"]]
    return ImageSet(name, classes, columns.assign(label=labels, group=group), unreadable=unreadable)


def _list(layout: Layout, base: Path, part: str, name: str) -> ImageList:
    """The images of a part, listed in its list or by its folder: image_id, file, identity, camera and part."""
    inside, listed = base / layout.folders[part], layout.lists.get(part)
    if listed is not None and (base / listed).is_file():
        path, names = base / listed, read_list(base / listed, "file")["file"]
    else:
        path, names = inside, _files(inside, name)
    numbers = names.str.extract(rf"^{layout.names}(?:\.\w+){{1,2}}$")[["identity", "camera"]]
    malformed = names[numbers["identity"].isna()]
    if len(malformed):
        raise WorkbookValueError(
            f"{path}: the name {malformed.iloc[0]!r} does not tell identity and camera as in {layout.example}; "
            f"remove it, or is this no {name}?"
        )
    file = layout.folders[part] + "/" + names
    table = numbers.astype(int).assign(image_id=file.str.rsplit(".", n=1).str[0], file=file, part=part)
    return path, table, listed_files(table, base)


def _files(inside: Path, name: str) -> pd.Series:
    """Names of the images in a folder, in sorted order; the index counts from 1."""
    names = [path.name for path in data_in(inside) if is_image(path)]
    if not names:
        raise WorkbookFileError(f"{inside} holds no image, but {name} has a part there; unpack the set again.")
    return pd.Series(names, index=range(1, len(names) + 1))


load_market = partial(load_named, MARKET)
load_duke = partial(load_named, DUKE)
load_veri = partial(load_named, VERI)
