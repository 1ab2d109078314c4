"""Oxford-IIIT Pet (Parkhi et al., CVPR 2012): 37 breeds of cats and dogs, as torchvision downloads and unpacks it.

Expected in one folder: `annotations/list.txt` (a line an image: name, class, species, breed), the official parts
`annotations/trainval.txt` and `test.txt` if there, and `images/<name>.jpg`, of which some are GIFs or have an alpha
channel under that name. The trimaps (1 pet, 2 background, 3 border) are no masks of 0 and 255 and are not read.
"""

from pathlib import Path

import pandas as pd

from lib.data.file_finder import attach_images, find_base
from lib.data.image_files import ImageFiles
from lib.data.imageset import ImageSet
from lib.data.table_reader import read_list, refuse_rows, whole_numbers
from lib.errors import WorkbookValueError

PARTS = {"trainval": "train", "test": "test"}
FIELDS = ("image_id", "class", "species", "breed_id")  # of each list


def load_pets(root: Path, name: str = "oxford-iiit-pet", skip_unreadable: bool = False) -> ImageSet:
    """Read the list and find each row's image; the classes are the breeds, in the order of their official numbers.

    Raises:
        WorkbookFileError: no data set there, or a row without an image (unless `skip_unreadable`).
        WorkbookValueError: a malformed line, an image listed twice, one number for two breeds.
    """
    base = find_base(root, name, "annotations/list.txt")
    path = base / "annotations" / "list.txt"
    table = read_list(path, *FIELDS)
    unnamed = table["image_id"][~table["image_id"].str.contains("_")]
    refuse_rows(path, unnamed, "{value!r} does not tell the breed as in Abyssinian_100; restore the official list")
    table["number"], table["breed"] = whole_numbers(path, table["class"]), table["image_id"].str.rsplit("_", n=1).str[0]
    breeds = _breeds(path, table)
    rows, missing = attach_images([(path, table, ImageFiles(base / "images").path)], skip_unreadable)
    rows["label"] = rows["number"].map({number: label for label, number in enumerate(breeds)})
    rows["part"] = ""
    for file, part in PARTS.items():
        listed = path.with_name(f"{file}.txt")
        if listed.is_file():
            rows.loc[rows["image_id"].isin(read_list(listed, *FIELDS)["image_id"]), "part"] = part
    return ImageSet(name, tuple(breeds.values()), rows, unreadable=missing)


def _breeds(path: Path, table: pd.DataFrame) -> dict[int, str]:
    """Official class number → breed, by number."""
    pairs = table.drop_duplicates(["number", "breed"]).sort_values("number")
    repeated = pairs[pairs.duplicated("number") | pairs.duplicated("breed")]
    if len(repeated):
        row = repeated.iloc[0]
        raise WorkbookValueError(
            f"{path}, row {repeated.index[0]}: breed {row['breed']!r} and class {row['number']} do not go together "
            "elsewhere in the list; restore the official list."
        )
    return dict(zip(pairs["number"], pairs["breed"], strict=True))
