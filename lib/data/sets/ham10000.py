"""HAM10000 in its official layout (Tschandl et al., Scientific Data 2018, doi:10.7910/DVN/DBW86T).

Expected below the data root, in any arrangement of folders: `HAM10000_metadata.csv` (also under the names
`HAM10000_metadata` and `.tab` that Dataverse gives it), the images `ISIC_*.jpg`, and, if there, the lesion masks
`ISIC_*_segmentation.png`. Diagnoses may also be spelled out, or as ISIC does. 10,015 images of 7,470 lesions: split them by `lesion_id` (the default).
"""

import logging
from pathlib import Path

import pandas as pd

from lib.data.class_names import abbreviated
from lib.data.file_finder import attach_images, find_table, folder, no_data_set
from lib.data.image_files import ImageFiles
from lib.data.image_names import image_names
from lib.data.imageset import ImageSet
from lib.data.table_reader import filled, label_indices, read_table

log = logging.getLogger(__name__)

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def load_ham10000(root: Path, name: str = "HAM10000", skip_unreadable: bool = False) -> ImageSet:
    """Read the metadata table and find each row's image and mask.

    Raises:
        WorkbookFileError: no data set there, or a row without an image (unless `skip_unreadable`).
        WorkbookValueError: a missing column, an unknown class, an image listed twice.
    """
    root = folder(root, name)
    path = find_table(root, "HAM10000_metadata", ("", ".csv", ".tab"))
    if path is None:
        raise no_data_set(root, "HAM10000", "HAM10000_metadata.csv")
    table = read_table(path, ("lesion_id", "image_id", "dx"))
    table = table.assign(
        label=label_indices(path, abbreviated(table["dx"]), CLASSES), image_id=image_names(table["image_id"])
    )
    files = ImageFiles(root)
    rows, missing = attach_images([(path, table, files.path)], skip_unreadable)
    return lesion_set(name, rows.assign(mask=rows["image_id"].map(files.mask)), missing)


def lesion_set(name: str, rows: pd.DataFrame, unreadable: tuple[str, ...] = ()) -> ImageSet:
    """The image set of `rows` with image_id, path, label (an index into CLASSES) and lesion_id, of which some may be
    missing: such an image is a lesion of its own.

    Its classes are those that have an image. Both are told.
    """
    group = filled(rows["lesion_id"], rows["image_id"])
    ours = rows[rows["part"] == "train"] if "part" in rows else rows
    alone = int((group[ours.index] == ours["image_id"]).sum())
    if alone:
        log.warning(
            "%s: %d of %d images have no lesion_id, each counts as a lesion of its own; views of one lesion may leak between splits",
            name, alone, len(ours),
        )  # fmt: skip
    there = sorted(rows["label"].unique())
    classes, absent = tuple(CLASSES[i] for i in there), [c for i, c in enumerate(CLASSES) if i not in there]
    if absent:
        log.warning("%s has no image of %s: its classes are %s", name, ", ".join(absent), ", ".join(classes))
    label = rows["label"].map({number: label for label, number in enumerate(there)})
    return ImageSet(name, classes, rows.assign(group=group, label=label), unreadable=unreadable)
