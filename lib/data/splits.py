"""Three-way splits: stratified by class and grouped by lesion, so that no lesion stands on two sides.

A random split over *images* puts views of one lesion on both sides: in HAM10000 38.7 % of the test images of an 80/20
split (67.3 % of the melanomas) stand beside a training image of the same lesion. `image` reproduces that on purpose.
A re-identification set is divided by identities, and what is not trained on into query and gallery.
"""

import logging

import numpy as np
import pandas as pd

from lib.data.imageset import DISTRACTOR, JUNK, ImageSet, check_queries
from lib.errors import WorkbookValueError, choose

log = logging.getLogger(__name__)

SPLITS = ("lesion", "image", "official")
PARTS = ("train", "val", "test")
REID_PARTS = ("train", "val_query", "val_gallery", "query", "gallery")


def split_rows(
    images: ImageSet, split: str = "lesion", val_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0
) -> pd.Series:
    """The part ('train', 'val' or 'test') of each row of `images`; 'unused' for official test images in our own splits.

    `lesion` keeps groups whole; `image` ignores them (leaky, and says so). Both divide the official training images
    where a set has official parts. `official` takes the set's own parts; where there is none for validation,
    `val_fraction` of the official training images, whole groups, drawn with `seed`, is held out for it. A
    re-identification set has its official split only, and other parts: see `split_identities`.

    Raises:
        WorkbookValueError: an unknown split, fractions that leave nothing, a class that is empty in a part.
    """
    split = choose("split", split, SPLITS)
    if images.is_reid:
        if split != "official":
            raise WorkbookValueError(
                f"{images.name} is a re-identification set, which split={split!r} cannot divide; use split='official'."
            )
        return split_identities(images, val_fraction, seed)
    if split == "official":
        parts = _official(images, val_fraction, seed)
    else:
        _check_fraction("val_fraction", val_fraction)
        _check_fraction("test_fraction", test_fraction)
        if val_fraction + test_fraction >= 1:
            raise WorkbookValueError(f"{val_fraction=} and {test_fraction=} leave nothing to train on.")
        ours = images.rows[images.rows["part"].isin(["", "train"])]  # a challenge's own test set stays out of it
        groups = ours["group"] if split == "lesion" else ours["image_id"]
        parts = _stratified(ours["label"], groups, {"test": test_fraction, "val": val_fraction}, seed)
        parts = parts.reindex(images.rows.index, fill_value="unused")
    _check_classes(images, parts)
    if split == "image":
        share = leak_share(images, parts)
        log.warning(
            "LEAKY SPLIT (split='image'): %.1f %% of the test images are of a group, such as a lesion, that is in training too; never report these numbers as results",
            100 * share,
        )
    return parts


def split_identities(images: ImageSet, val_fraction: float = 0.1, seed: int = 0) -> pd.Series:
    """The part, one of REID_PARTS, of each row of a re-identification set; 'unused' for images of no official part.

    The official query and gallery stay as they are. `val_fraction` of the training identities, drawn with `seed`, is
    held out whole and divided as Market-1501 is (Zheng et al., ICCV 2015): one image of an identity a camera is in
    `val_query`, the others are in `val_gallery`. Every such query has a match there from another camera: an identity
    that one camera alone has seen has no query, and a camera's only image of it is in the gallery, but where no camera
    has two, one of them is a query.

    Raises:
        WorkbookValueError: a part is missing, a training identity is nobody's or is searched for, too, there are too few
            of them, none of those held out has a query, or nothing could be measured on the official query and gallery.
    """
    _check_fraction("val_fraction", val_fraction)
    parts = images.rows["part"].where(images.rows["part"].isin(("train", "query", "gallery")), "unused")
    absent = [name for name in ("train", "query", "gallery") if name not in set(parts)]
    if absent:
        raise WorkbookValueError(
            f"{images.name} has no official {absent[0]} part here; add its images to the data root."
        )
    _check_search(images.name, *(images.rows[parts == part] for part in ("query", "gallery")))
    train = images.rows[parts == "train"]
    _check_train(images.name, train, images.rows[parts.isin(("query", "gallery"))])
    known = np.sort(train["identity"].unique())
    if len(known) < 4:
        raise WorkbookValueError(
            f"The train part of {images.name} has {len(known)} identities; four are the least, two to train on and two to validate on."
        )
    rng = np.random.default_rng(seed)
    number = int(np.clip(round(val_fraction * len(known)), 2, len(known) - 2))
    held = train[train["identity"].isin(rng.choice(known, number, replace=False))]
    queries = _queries(held, rng)
    if not len(queries):
        raise WorkbookValueError(
            f"None of the {number} identities of {images.name} that are held out for validation was seen by two cameras; "
            "raise val_fraction, or choose another split_seed."
        )
    parts = parts.mask(parts.index.isin(held.index), "val_gallery")
    return parts.mask(parts.index.isin(queries), "val_query")


def _check_search(name: str, query: pd.DataFrame, gallery: pd.DataFrame) -> None:
    """Raise what the evaluation of `query` in `gallery` would find out only after training."""
    check_queries((query["image_id"] + f" of {name}").to_numpy(), query["identity"].to_numpy())
    shown = gallery.loc[gallery["identity"] != JUNK, "identity"].nunique()
    if shown < 2:
        raise WorkbookValueError(
            f"The gallery of {name} shows {'one' if shown else 'no'} identity: nothing can be confused, so there is nothing "
            "to measure. Add images of other identities to it."
        )
    seen = [part[["identity", "camera"]].drop_duplicates() for part in (query, gallery)]
    pairs = seen[0].merge(seen[1], on="identity")
    if not (pairs["camera_x"] != pairs["camera_y"]).any():
        raise WorkbookValueError(
            f"None of the {len(query)} queries of {name} has a match in its gallery, i.e. an image of the same identity from "
            "another camera; add such images to the gallery, or raise limit_images."
        )


def _check_train(name: str, train: pd.DataFrame, searched: pd.DataFrame) -> None:
    """Raise what would leak, or teach a class that is no identity."""
    nobody = train[train["identity"] <= DISTRACTOR]
    if len(nobody):
        raise WorkbookValueError(
            f"The training image {nobody['image_id'].iloc[0]} of {name} has the identity {nobody['identity'].iloc[0]} "
            f"({DISTRACTOR} a distractor, {JUNK} junk), which is nobody's: leave it out of the train part."
        )
    both = train[train["identity"].isin(searched["identity"])]
    if len(both):
        leaked = searched[searched["identity"] == both["identity"].iloc[0]]
        raise WorkbookValueError(
            f"Identity {both['identity'].iloc[0]} of {name} is trained on ({both['image_id'].iloc[0]}) and searched for "
            f"({leaked['image_id'].iloc[0]}), which leaks; remove it from the train part, or from query and gallery."
        )


def _queries(held: pd.DataFrame, rng: np.random.Generator) -> pd.Index:
    """Which rows of `held` are queries: see `split_identities`."""
    drawn = held.iloc[rng.permutation(len(held))]
    drawn = drawn[drawn.groupby("identity")["camera"].transform("nunique") > 1]
    first = drawn.drop_duplicates(["identity", "camera"])
    images = drawn.groupby(["identity", "camera"])["camera"].transform("size")
    best = images.groupby(drawn["identity"]).transform("max")
    alone = first[best[first.index] == 1].drop_duplicates("identity")  # one image a camera: one of them is a query
    return first.index[images[first.index] > 1].union(alone.index)


def rows_of(parts: pd.Series, part: str) -> np.ndarray:
    """Row numbers of one part of a split."""
    return np.flatnonzero(parts.to_numpy() == part)


def leak_share(images: ImageSet, parts: pd.Series) -> float:
    """Share of the test images whose group also has a training image; 0 for an honest split, or without a test."""
    trained = set(images.rows.loc[parts == "train", "group"])
    tested = images.rows.loc[parts == "test", "group"]
    return float(tested.isin(trained).mean()) if len(tested) else 0.0


def _stratified(labels: pd.Series, groups: pd.Series, shares: dict[str, float], seed: int) -> pd.Series:
    """Class by class, shuffled groups fill each part of `shares` up to its share of the class's images, then 'train'."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"label": labels.to_numpy(), "group": groups.to_numpy()})
    counts = (
        table.value_counts(["group", "label"]).sort_index().reset_index()
    )  # sorted, so that a tie goes to the first
    commonest = counts.sort_values("count", ascending=False, kind="stable").groupby("group")["label"].first()
    sizes = pd.DataFrame({"size": table.groupby("group").size(), "label": commonest})
    part_of: dict[str, str] = {}
    for _, members in sizes.groupby("label"):
        members = members.iloc[rng.permutation(len(members))]
        before = members["size"].cumsum() - members["size"] / 2  # the middle of each group on the class's axis
        position = before / members["size"].sum()
        place = np.searchsorted(np.cumsum(list(shares.values())), position, side="right")
        part = np.array([*shares, "train"], dtype=object)[place]
        part_of.update(zip(members.index, _nonempty(part, ("train", *reversed(shares))), strict=True))
    return pd.Series(table["group"].map(part_of).to_numpy(), index=labels.index)


def _nonempty(part: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """With enough groups every part of `names` gets one, taken from the largest: small classes may round to none."""
    counts = [int((part == name).sum()) for name in names]
    while len(part) >= len(names) and 0 in counts:
        empty, largest = counts.index(0), counts.index(max(counts))
        part[np.flatnonzero(part == names[largest])[0]] = names[empty]
        counts[empty], counts[largest] = 1, counts[largest] - 1
    return part


def _official(images: ImageSet, val_fraction: float, seed: int) -> pd.Series:
    """The official parts; without one for validation, `val_fraction` of each class's training images, whole groups."""
    parts = images.rows["part"].where(images.rows["part"].isin(PARTS), "unused")
    missing = [name for name in PARTS if name not in set(parts)]
    if missing == list(PARTS):
        raise WorkbookValueError(f"{images.name} has no official parts; use split='lesion'.")
    needed = [name for name in missing if name != "val"]
    if needed:
        raise WorkbookValueError(
            f"{images.name} has no official {needed[0]} part here; add its images and ground truth to the data root, or use split='lesion'."
        )
    if not missing:
        return parts
    _check_fraction("val_fraction", val_fraction)
    log.info("%s has no official val part here: %g of its train part is held out", images.name, val_fraction)
    train = images.rows[parts == "train"]
    drawn = _stratified(train["label"], train["group"], {"val": val_fraction}, seed)
    return drawn.reindex(parts.index).fillna(parts)


def _check_fraction(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise WorkbookValueError(f"{name}={value} must lie between 0 and 1.")


def _check_classes(images: ImageSet, parts: pd.Series) -> None:
    if len(images.classes) < 2:
        raise WorkbookValueError(
            f"{images.name} has images of the class {images.classes[0]!r} only, so that there is nothing to tell apart; add images of another."
        )
    for part in PARTS:
        present = set(images.rows.loc[parts == part, "label"])
        empty = [name for i, name in enumerate(images.classes) if i not in present]
        if empty:
            rows = images.rows[images.rows["label"] == images.classes.index(empty[0])]
            raise WorkbookValueError(
                f"Class {empty[0]!r} has no image in the {part} part of {images.name} ({len(rows)} images in "
                f"{rows['group'].nunique()} groups in all; images of one group, such as views of one lesion, stay together, and "
                "three groups are the least). Add images or remove the class."
            )
