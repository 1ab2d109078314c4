"""ISIC-2018 Task 3 in the challenge's own layout (Codella et al., arXiv 1902.03368).

Expected anywhere below the data root: `ISIC2018_Task3_{Training,Validation,Test}_GroundTruth.csv` (one column a
class, a single 1.0 a row), `ISIC2018_Task3_Training_LesionGroupings.csv`, and the images. The training images *are*
HAM10000's, so a transfer between the two training sets measures nothing; the validation (193 images) and test
(1,512) sets are the challenge's own. A part whose images are not there at all is left out.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from lib.data.class_names import abbreviated
from lib.data.file_finder import ImageList, attach_images, find_table, folder, no_data_set
from lib.data.image_files import ImageFiles
from lib.data.image_names import image_names
from lib.data.imageset import ImageSet
from lib.data.sets.ham10000 import CLASSES, lesion_set
from lib.data.table_reader import label_indices, lookup, read_table, refuse_rows
from lib.errors import WorkbookValueError

log = logging.getLogger(__name__)

PARTS = {"train": "Training", "val": "Validation", "test": "Test"}
COLUMNS = tuple(name.upper() for name in CLASSES)
OF_HAM10000 = ("image_id", "dx", "lesion_id")


def load_isic2018(root: Path, name: str = "isic-2018-task-3", skip_unreadable: bool = False) -> ImageSet:
    """Read the ground truth of each part whose images are there.

    Raises:
        WorkbookFileError: no ground truth, or a row without an image (unless `skip_unreadable`).
        WorkbookValueError: a missing column, a row that is not one-hot, or groupings of other images.
    """
    root = folder(root, name)
    tables = {part: find_table(root, f"ISIC2018_Task3_{word}_GroundTruth") for part, word in PARTS.items()}
    if tables["train"] is None:
        raise no_data_set(root, "isic-2018-task-3", "ISIC2018_Task3_Training_GroundTruth.csv")
    files = ImageFiles(root)
    rows, missing = attach_images(_lists(root, tables, files), skip_unreadable)
    rows = rows.assign(lesion_id=_lesions(root, rows), mask=rows["image_id"].map(files.mask))
    return lesion_set(name, rows, missing)


def _lists(root: Path, tables: dict[str, Path | None], files: ImageFiles) -> Iterator[ImageList]:
    """The parts whose images are there; that of training must be."""
    for part, path in tables.items():
        table = None if path is None else _labels(path)
        if table is None or (part != "train" and not table["image_id"].map(files.path).notna().any()):
            log.info("ISIC-2018 Task 3: no images of the %s set below %s, left out", PARTS[part].lower(), root)
        else:
            yield path, table.assign(part=part), files.path


def _labels(path: Path) -> pd.DataFrame:
    """image_id, label and lesion_id, which is missing in all tables but Dataverse's of the test set."""
    table = read_table(path, ())
    if {*OF_HAM10000} <= {*table}:  # as HAM10000's own
        table = read_table(path, OF_HAM10000)
        label = label_indices(path, abbreviated(table["dx"]), CLASSES)
        return pd.DataFrame(
            {"image_id": image_names(table["image_id"]), "label": label, "lesion_id": table["lesion_id"]}
        )
    table = read_table(path, ("image", *COLUMNS))
    texts = table[list(COLUMNS)].replace(",", ".", regex=True)  # as Excel writes it in half of the world
    values = texts.apply(pd.to_numeric, errors="coerce").to_numpy()
    one_hot = ((values == 1).sum(axis=1) == 1) & ((values == 0).sum(axis=1) == len(COLUMNS) - 1)
    complaint = f"image {{value!r}} must have a single 1.0 among {', '.join(COLUMNS)} and 0.0 elsewhere"
    refuse_rows(path, table["image"][~one_hot], complaint)
    return pd.DataFrame({"image_id": image_names(table["image"]), "label": values.argmax(axis=1), "lesion_id": ""})


def _lesions(root: Path, rows: pd.DataFrame) -> pd.Series:
    """The lesion of each of `rows` by the challenge's groupings, or as it is where they tell none.

    Raises:
        WorkbookValueError: they tell that of no image.
    """
    path = find_table(root, "ISIC2018_Task3_Training_LesionGroupings")
    if path is None:
        log.warning("No lesion groupings below %s", root)
        return rows["lesion_id"]
    table = read_table(path, ("image", "lesion_id"))
    table = table.assign(image=image_names(table["image"])).drop_duplicates(["image", "lesion_id"])
    lesions = rows["image_id"].map(lookup(path, table, "image", "lesion_id"))
    if lesions.isna().all():
        raise WorkbookValueError(
            f"{path} tells the lesion of none of the {len(rows)} images: it lists {table['image'].iloc[0]} and its like, and "
            f"they are called {rows['image_id'].iloc[0]} and its like. Restore the official table, or remove it to go on without."
        )
    return lesions.fillna(rows["lesion_id"])
