"""Facts about a data set that are worth knowing before training on it."""

import hashlib
import os
from pathlib import Path

import pandas as pd

from lib.data.decoding import picture_header
from lib.data.imageset import ImageSet
from lib.data.splits import split_rows


def image_sizes(images: ImageSet) -> pd.DataFrame:
    """Width and height of every picture, upright and without its banner, and its file's mode (RGB, L, P, …), with the
    number of images that have them."""
    facts = [picture_header(path, images.banner) for path in images.rows["path"]]
    table = pd.DataFrame(facts, columns=["width", "height", "mode"])
    return table.value_counts().rename("images").reset_index()


def identical_images(images: ImageSet) -> pd.DataFrame:
    """Images whose files are byte for byte the same: image_id, group, label, and `content`, equal for copies."""
    rows = images.rows.assign(size=[os.path.getsize(p) for p in images.rows["path"]])
    rows = rows[rows.duplicated("size", keep=False)]
    rows = rows.assign(content=[hashlib.sha256(Path(p).read_bytes()).hexdigest()[:12] for p in rows["path"]])
    copies = rows[rows.duplicated("content", keep=False)].sort_values("content")
    return copies[["image_id", "group", "label", "content"]]


def views_per_lesion(images: ImageSet) -> pd.Series:
    """How many lesions have 1, 2, 3, … images."""
    return images.rows.groupby("group").size().value_counts().sort_index().rename_axis("images").rename("lesions")


def leakage(images: ImageSet, split: str, seeds: range, **fractions: float) -> pd.DataFrame:
    """Share of each class's test images (and of all) that show a lesion which is in training too, a row a seed."""
    rows = []
    for seed in seeds:
        parts = split_rows(images, split, seed=seed, **fractions)
        trained = set(images.rows.loc[parts == "train", "group"])
        test = images.rows[parts == "test"]
        leaks = test["group"].isin(trained)
        of_class = leaks.groupby(test["label"]).mean().reindex(range(len(images.classes))).set_axis(images.classes)
        rows.append({"seed": seed, "all": leaks.mean(), **of_class})
    return pd.DataFrame(rows)
