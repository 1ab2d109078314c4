"""HAM10000 in its official layout (Tschandl et al., Scientific Data 2018, doi:10.7910/DVN/DBW86T).

Expected below the data root, in any arrangement of folders: `HAM10000_metadata.csv` (also under the names
`HAM10000_metadata` and `.tab` that Dataverse gives it), the images `ISIC_*.jpg`, and, if there, the lesion masks
`ISIC_*_segmentation.png`. 10,015 images of 7,470 lesions: split them by `lesion_id` (the default).
"""

from pathlib import Path

from lib.data.file_finder import attach_images, files_named, folder, no_data_set
from lib.data.image_files import ImageFiles, image_name
from lib.data.imageset import ImageSet
from lib.data.table_reader import label_indices, read_table

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def load_ham10000(root: Path, name: str = "HAM10000", skip_unreadable: bool = False) -> ImageSet:
    """Read the metadata table and find each row's image and mask.

    Raises:
        WorkbookFileError: no data set there, or a row without an image (unless `skip_unreadable`).
        WorkbookValueError: a missing column, an unknown class, an image listed twice.
    """
    root = folder(root, name)
    tables = [path for path in files_named(root, "HAM10000_metadata*") if path.suffix in ("", ".csv", ".tab")]
    if not tables:
        raise no_data_set(root, "HAM10000", "HAM10000_metadata.csv")
    table = read_table(tables[0], ("lesion_id", "image_id", "dx"))
    label = label_indices(tables[0], table["dx"], CLASSES)
    table = table.assign(label=label, image_id=table["image_id"].map(image_name))
    files = ImageFiles(root)
    rows, missing = attach_images([(tables[0], table, files.path)], skip_unreadable)
    rows = rows.assign(
        group=rows["lesion_id"].where(rows["lesion_id"] != "", rows["image_id"]),
        mask=rows["image_id"].map(files.mask),
    )
    return ImageSet(name, CLASSES, rows, unreadable=missing)
