"""Stanford Cars (Krause et al., 3dRR 2013): 16,185 photographs of 196 models, in either of its two layouts.

`devkit/cars_meta.mat`, `devkit/cars_train_annos.mat`, `cars_train/`, and, if there, `cars_test/` with
`cars_test_annos_withlabels.mat` (beside them or in `devkit`): 8,144 images to train on, 8,041 to test. Or the later
archive: `cars_annos.mat`, which tells the parts too, beside `car_ims/`. Copies on Kaggle nest `devkit` in `car_devkit/`
and the images in `cars_train/cars_train/` and `cars_test/cars_test/`, which is read too. The official host no longer
serves either, and torchvision's download of it is dead.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from lib.data.boxes import box_texts
from lib.data.file_finder import (
    ImageList,
    attach_images,
    find_base,
    find_table,
    folder,
    folders_in,
    listed_files,
)
from lib.data.imageset import ImageSet
from lib.data.table_reader import numbers, whole_numbers
from lib.errors import WorkbookFileError, WorkbookValueError

log = logging.getLogger(__name__)

ADVICE = (
    "The official host (ai.stanford.edu/~jkrause/cars) no longer serves it; copies exist on Kaggle and Hugging Face, "
    "and the layouts that are read stand in data/README.md (cars_annos.mat counts only beside car_ims/)."
)
BOX = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def load_cars(root: Path, name: str = "StanfordCars", skip_unreadable: bool = False) -> ImageSet:
    """Read the annotations and find each image; the classes are those that have one, in their official order.

    Raises:
        WorkbookFileError: no data set there, a file that is no Matlab file, an image missing (unless `skip_unreadable`).
        WorkbookValueError: annotations that lack a field, hold no number in one, or name a class that does not exist.
    """
    root = folder(root, name)
    both = (path / "cars_annos.mat" for path in (root, *folders_in(root)) if (path / "car_ims").is_dir())
    single = next(filter(Path.is_file, both), None)
    if single is not None:
        sources = [(single, single.parent, "")]
        names = _field(single, "class_names")
    else:
        devkit = find_base(root, name, "devkit/cars_train_annos.mat", ADVICE) / "devkit"
        base = next(
            (path for path in devkit.parents if path.is_relative_to(root) and (path / "cars_train").is_dir()),
            devkit.parent,
        )
        names = _field(devkit / "cars_meta.mat", "class_names")
        sources = [(devkit / "cars_train_annos.mat", _images(base, "train"), "train"), *_test(base)]
    rows, missing = attach_images((_annotations(*source) for source in sources), skip_unreadable)
    present = sorted(rows["class"].unique())
    if present[0] < 1 or present[-1] > len(names):
        wrong = present[0] if present[0] < 1 else present[-1]
        raise WorkbookValueError(f"{sources[0][0]} has an image of class {wrong}, but there are {len(names)} classes.")
    rows["label"] = rows["class"].map({number: label for label, number in enumerate(present)})
    return ImageSet(name, tuple(str(names[number - 1]) for number in present), rows, unreadable=missing)


def _images(base: Path, part: str) -> Path:
    """The folder of a part's images, which some copies nest in one of the same name."""
    outer = base / f"cars_{part}"
    return nested if (nested := outer / outer.name).is_dir() else outer


def _test(base: Path) -> list[tuple[Path, Path, str]]:
    """The test part, where its images and their labels are there."""
    path = find_table(base, "cars_test_annos_withlabels", (".mat",))
    if path is None or not (base / "cars_test").is_dir():
        absent = "cars_test_annos_withlabels.mat" if path is None else "folder cars_test"
        log.warning("Stanford Cars: no %s in %s, the test part is left out", absent, base)
        return []
    return [(path, _images(base, "test"), "test")]


def _annotations(path: Path, images: Path, part: str) -> ImageList:
    """image_id, file, class, part and box; `part` "" takes it from the annotations. The index counts from 1."""
    annotations = _field(path, "annotations")
    file = "relative_im_path" if part == "" else "fname"
    needed = (*BOX, "class", file, *(["test"] if part == "" else []))
    absent = [name for name in needed if name not in (annotations.dtype.names or ())]
    if absent:
        raise WorkbookValueError(f"The annotations in {path} lack the field {absent[0]!r}. Is this the set's own file?")
    table = pd.DataFrame({name: annotations[name] for name in needed}, index=range(1, len(annotations) + 1))
    stems = table[file].map(lambda name: Path(str(name)).with_suffix("").as_posix())
    rows = {
        "image_id": stems if part == "" else f"cars_{part}/" + stems,  # both parts begin at 00001.jpg
        "file": table[file].astype(str),
        "class": whole_numbers(path, table["class"]),
        "part": np.where(numbers(path, table["test"]) == 1, "test", "train") if part == "" else part,
        "box": box_texts(path, table[list(BOX)], corners=True),
    }
    table = pd.DataFrame(rows)
    return path, table, listed_files(table, images)


def _field(path: Path, name: str) -> np.ndarray:
    from scipy.io import loadmat  # slow to import

    try:
        return np.atleast_1d(loadmat(path, squeeze_me=True)[name])
    except KeyError as error:
        raise WorkbookValueError(f"{path} holds no {name!r}. Is this the data set's own file?") from error
    except Exception as error:  # a file that is missing or damaged: scipy raises half a dozen types
        raise WorkbookFileError(f"{path} is not a readable Matlab file ({error}); unpack the devkit again.") from error
