"""Oxford-IIIT Pet (Parkhi et al., CVPR 2012): 37 breeds of cats and dogs, as torchvision downloads and unpacks it.

Expected in one folder: `annotations/list.txt` (a line an image: name, class, species, breed), the official parts
`annotations/trainval.txt` and `test.txt` if there, and `images/<name>.jpg`, of which some are GIFs or have an alpha
channel under that name. The trimaps (1 pet, 2 background, 3 border) are no masks of 0 and 255 and are not read.
"""

from pathlib import Path

import pandas as pd

from lib.data.file_finder import attach_images, find_base, images_by_stem
from lib.data.imageset import ImageSet
from lib.errors import WorkbookFileError, WorkbookValueError

ADVICE = "That folder holds annotations and images; or fetch the set with"
PARTS = {"trainval": "train", "test": "test"}


def load_pets(root: Path, name: str = "oxford-iiit-pet", skip_unreadable: bool = False) -> ImageSet:
    """Read the list and find each row's image; the classes are the breeds, in the order of their official numbers.

    Raises:
        WorkbookFileError: no data set there, or a row without an image (unless `skip_unreadable`).
        WorkbookValueError: a malformed line, an image listed twice, one number for two breeds.
    """
    base = find_base(root, name, "annotations/list.txt", f"{ADVICE} `python -m lib.data.download {name}`.")
    path = base / "annotations" / "list.txt"
    table = _read_list(path)
    breeds = _breeds(path, table)
    rows, missing = attach_images([(path, table, images_by_stem(base / "images"))], skip_unreadable)
    rows["label"] = rows["number"].map({number: label for label, number in enumerate(breeds)})
    rows["part"] = ""
    for file, part in PARTS.items():
        rows.loc[rows["image_id"].isin(_names(path.with_name(f"{file}.txt"))), "part"] = part
    return ImageSet(name, tuple(breeds.values()), rows, unreadable=missing)


def _read_list(path: Path) -> pd.DataFrame:
    """Image id, class number and breed of each line; the index counts the file's lines from 1."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise WorkbookFileError(f"{path} is not a readable list ({error}); unpack annotations.tar.gz again.") from error
    rows = {i: _fields(path, i, line) for i, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")}
    if not rows:
        raise WorkbookFileError(f"{path} lists no image; unpack annotations.tar.gz again.")
    return pd.DataFrame.from_dict(rows, orient="index", columns=["image_id", "number", "breed"])


def _fields(path: Path, row: int, line: str) -> tuple[str, int, str]:
    words = line.split()
    if len(words) != 4 or not words[1].isdecimal() or "_" not in words[0]:
        raise WorkbookValueError(
            f"{path}, row {row}: {line.strip()!r} is not of the form 'Breed_number class species breed' "
            "(as in 'Abyssinian_100 1 1 1'). Is this the data set's own list?"
        )
    return words[0], int(words[1]), words[0].rsplit("_", 1)[0]


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


def _names(path: Path) -> set[str]:
    return set(_read_list(path)["image_id"]) if path.is_file() else set()
