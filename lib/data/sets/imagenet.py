"""ImageNet's official validation set (ILSVRC 2012): 50,000 photographs of 1,000 classes, however they were unpacked.

Either a folder a class, called by its synset (`n01440764`), or all images in one folder, as the archive has them, and one
list below the root that tells their synsets:

    LOC_val_solution.csv                           Kaggle's: ImageId,PredictionString
    *synset_labels*.txt                            a synset a line, in the images' order
    ILSVRC2012_validation_ground_truth.txt         a number a line, with the devkit's meta.mat, which numbers the synsets

Labels are in the order of the synsets' names, as the outputs of the networks trained on ImageNet are. Of a part of the images
they are so only with the list of all synsets, `LOC_synset_mapping.txt` or `synset_words.txt`, beside them.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lib.data.file_finder import attach_images, class_folder_rows, files_named, folder, folders_in, no_data_set
from lib.data.image_files import ImageFiles, pictures_below
from lib.data.imageset import ImageSet
from lib.data.sets.folders import part_of
from lib.data.table_reader import read_table
from lib.errors import WorkbookFileError, WorkbookValueError

SYNSET = re.compile(r"n\d{8}")
LISTS = ("LOC_synset_mapping.txt", "synset_words.txt", "*synsets.txt")
ADVICE = "See data/README.md for what is read; ImageNet itself is at https://image-net.org, after a registration."


def load_imagenet_validation(root: Path, name: str = "ImageNet-val", skip_unreadable: bool = False) -> ImageSet:
    """Every image is of the official part `test`; classes are synsets.

    Raises:
        WorkbookFileError: no such images there, no list of their synsets, or one of them missing (unless `skip_unreadable`).
        WorkbookValueError: a list that does not fit the images.
    """
    root = folder(root, name)
    below = [path for path in (root, *folders_in(root)) if not SYNSET.fullmatch(path.name)]
    places = dict.fromkeys([*below, *(inside for path in below for inside in folders_in(path))])
    folders = next(filter(None, map(_synset_folders, (p for p in places if part_of(p.name) != "train"))), None)
    if folders:
        rows = class_folder_rows(folders, pictures_below, lambda path: path.stem)
        synsets, missing = rows["label"].map(lambda label: folders[label].name), ()
    else:
        source, listed = _listed(root, name)
        table = pd.DataFrame({"image_id": listed.keys(), "synset": listed.values()}, index=range(1, len(listed) + 1))
        rows, missing = attach_images([(source, table, ImageFiles(root).path)], skip_unreadable)
        synsets = rows["synset"]
    classes = _classes(root) or sorted(set(synsets))
    strangers = sorted(set(synsets) - set(classes))
    if strangers:
        raise WorkbookValueError(f"The list of synsets below {root} lacks {strangers[0]}, of which there are images.")
    labels = synsets.map({synset: label for label, synset in enumerate(classes)})
    rows = pd.DataFrame({"image_id": rows["image_id"], "path": rows["path"], "label": labels, "part": "test"})
    return ImageSet(name, tuple(classes), rows, unreadable=missing)


def _synset_folders(base: Path) -> list[Path]:
    return [path for path in folders_in(base) if SYNSET.fullmatch(path.name)]


def _classes(root: Path) -> list[str]:
    """All synsets, as a list below `root` has them; none without such a list."""
    files = (path for pattern in LISTS for path in files_named(root, pattern))
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        return sorted({line.split()[0] for line in lines if SYNSET.match(line)})
    return []


def _listed(root: Path, name: str) -> tuple[Path, Mapping[str, str]]:
    """A list below `root`, and the synset of each image in it."""
    for path in files_named(root, "LOC_val_solution.csv"):
        table = read_table(path, ("ImageId", "PredictionString"))
        return path, dict(zip(table["ImageId"], table["PredictionString"].str.split().str[0], strict=True))
    for path in files_named(root, "*synset_labels*.txt"):
        return path, _numbered(path.read_text(encoding="utf-8").split())
    for path in files_named(root, "ILSVRC2012_validation_ground_truth.txt"):
        synsets = _meta(root)
        return path, _numbered([synsets[int(number)] for number in path.read_text().split()])
    lists = "no class folders named by synsets, and none of LOC_val_solution.csv, *synset_labels*.txt, and"
    raise no_data_set(root, name, f"{lists} ILSVRC2012_validation_ground_truth.txt", ADVICE)


def _numbered(synsets: list[str]) -> dict[str, str]:
    """Of images in their order, which are numbered from 1."""
    return {f"ILSVRC2012_val_{number:08d}": synset for number, synset in enumerate(synsets, start=1)}


def _meta(root: Path) -> dict[int, str]:
    """The devkit's number of each synset."""
    from scipy.io import loadmat  # slow to import

    found = files_named(root, "meta.mat")
    if not found:
        raise WorkbookFileError(
            f"The numbers of the classes below {root} are told by the devkit's meta.mat: put it there."
        )
    synsets = loadmat(found[0], squeeze_me=True)["synsets"]
    return {int(number): str(synset) for number, synset in zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)}
