"""A finished run tested on another data set, without the images that it has seen.

Data sets overlap: HAM10000 *is* ISIC-2018 Task 3's training set. A test image is dropped, counted and reported when
the run trained on it or chose its best epoch by it, under the first reason that fits:

    image_id    an image of the run's train or val part has the same id
    content     one of them is equal pixel by pixel at the run's image size (a byte-identical file always is; an image
                that was encoded anew or cut out differently is not found)
    group       one of them shows the same lesion, where the two sets use the same lesion ids

Kept beside the run, so that a second call only reads:

<run>/transfer/<dataset>-<fingerprint8>/
    predictions.csv   the images that are left: image_id, group, label, prediction, prob_<class>…
    metrics.json      test metrics with intervals, what was dropped; its presence says that the transfer is finished
"""

import hashlib
import logging
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from lib import hardware
from lib.data import ImageSet, load_dataset, load_pixels, rows_of, split_rows
from lib.data.pixels import content_digest
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError
from lib.files import with_nan, write_text
from lib.inputs import wrote
from lib.training.config import RunConfig
from lib.training.inference import decoded_size, over_views, predict_rows, probabilities
from lib.training.metrics import Resampled, tell_absent, with_intervals
from lib.training.run_digest import CONTENT, changed
from lib.training.store import Run, RunStore
from lib.training.testing import csv_text, predictions_frame
from lib.training.training_data import prepare

log = logging.getLogger(__name__)

REASONS = ("image_id", "content", "group")


class Transfer(Run):
    """What `run` answers on the test images of `dataset` that it has not seen; reads as a Run does.

    `predictions`, `probabilities`, `labels` and `metrics` are of the other data set, in the run's classes; all else is
    the run's own. A metric that cannot be had, as the recall of a class without a test image, is NaN. Where nothing was
    left to test on, `predictions` is empty, `metrics['test']` too, and `missing` tells why.
    """

    files = ("predictions.csv",)

    def __init__(self, run: Run, dataset: str, path: Path) -> None:
        super().__init__(path)
        self.run, self.dataset = run, dataset
        self.remedy = f"Restore it, or remove {path} and transfer the run again."

    @property
    def config(self) -> RunConfig:
        return self.run.config

    @property
    def classes(self) -> tuple[str, ...]:
        return self.run.classes

    @property
    def log(self) -> pd.DataFrame:
        return self.run.log

    @property
    def provenance(self) -> dict:
        """The run's; drawn images on either side make the result one on phantoms."""
        phantom = self.run.provenance["is_phantom"] or self.metrics["is_phantom"]
        return {**self.run.provenance, "is_phantom": phantom}

    def model(self) -> nn.Module:
        return self.run.model()

    @cached_property
    def metrics(self) -> dict:
        """{'test': {metric: value}, 'intervals': {metric: [low, high]}, 'dropped': …, 'images': …, 'split': …}."""
        return with_nan(self.read_json("metrics.json"))

    @property
    def dropped(self) -> dict[str, int]:
        """{'image_id': n, 'content': n, 'group': n}; no image is counted twice."""
        return self.metrics["dropped"]

    @property
    def images(self) -> int:
        """Test images before any was dropped."""
        return self.metrics["images"]

    @property
    def missing(self) -> str | None:
        """Why there is no result; None where there is one."""
        if sum(self.dropped.values()) < self.images:
            return None
        return f"all {self.images} test images of {self.dataset} were seen in training ({_in_words(self.dropped)})"


def transfer(
    run: Run,
    dataset: str,
    data_root: str | None = None,
    store: RunStore | None = None,
    limit_images: int | None = None,
    skip_unreadable: bool = False,
) -> Transfer:
    """Test the best weights of `run` on `dataset`; what is kept of an earlier call with the same images is read.

    The images are the set's official test part if it has one, else the test part of a split as the run's own (lesions
    kept whole, where the run's was the official one). `store` says whose pixel cache to use: the run's own if left out.

    Raises:
        WorkbookValueError: the data set has classes that the run does not know; the split cannot be had.
        WorkbookFileError: the run is not finished; the data of `dataset`, or the run's own, are not there.
        WorkbookError: the run's own data have changed, so that what it has seen cannot be known.
    """
    if not run.finished:
        raise WorkbookFileError(
            f"The run {run.path.name} is not finished; finish it with fit(config), then transfer it."
        )
    images = load_dataset(dataset, data_root, limit_images, skip_unreadable)
    to_ours = match_classes(run, images)
    transferred = Transfer(run, images.name, run.path / "transfer" / f"{images.name}-{images.fingerprint()}")
    if transferred.sound:
        return transferred
    store = store or RunStore(run.path.parent)
    images, pixels = load_pixels(images, decoded_size(run.config), store.cache, skip_unreadable)
    rows, split = _test_rows(images, run.config)
    reasons = _seen(run, store, images, pixels, rows)
    dropped = {reason: reasons.count(reason) for reason in REASONS}
    left = rows[[reason is None for reason in reasons]]
    remark = f", dropped: {_in_words(dropped)}" if any(dropped.values()) else ""
    log.info("%s on %s: %d of %d test images left%s", run.path.name, images.name, len(left), len(rows), remark)
    table, labels = images.rows.iloc[left], to_ours[images.rows["label"].to_numpy()[left]]
    answers = np.empty((0, len(run.classes)))
    results = {"test": {}, "intervals": {}}
    if len(left):
        output = over_views(probabilities, run.config)
        answers = predict_rows(run.model().to(hardware.device()), run.config, pixels, left, output)
        tell_absent(labels, run.classes, f"{images.name} test")
        samples = Resampled(table["group"], strata=labels).measure(answers, labels, run.classes)
        results = with_intervals(samples)
    frame = predictions_frame(table, labels, answers, run.classes)
    results |= {"dropped": dropped, "images": len(rows), "split": split, "is_phantom": images.is_phantom}
    write_text(transferred.path / "predictions.csv", csv_text(frame))
    transferred.finish(results)
    wrote(transferred.path / "metrics.json")
    return transferred


def match_classes(run: Run, images: ImageSet) -> np.ndarray:
    """The run's class index for each class index of `images`; order and, if need be, case do not matter.

    Raises:
        WorkbookValueError: `images` has a class that the run does not know.
    """
    if run.config.task == "reid":
        raise WorkbookValueError(
            f"{run.path.name} tells identities apart, which no two data sets share: it has no classes to transfer."
        )
    for spelling in (str, str.casefold):
        ours, theirs = ([spelling(name) for name in names] for names in (run.classes, images.classes))
        if {*theirs} <= {*ours} and len({*theirs}) == len(theirs):
            return np.array([ours.index(name) for name in theirs])
    raise WorkbookValueError(
        f"{run.path.name} cannot be tested on {images.name}: it tells {', '.join(run.classes)} apart, and the data set has "
        f"the classes {', '.join(images.classes)}. Choose a data set whose classes are among the run's."
    )


def _test_rows(images: ImageSet, config: RunConfig) -> tuple[np.ndarray, str]:
    """Row numbers of the test part, and the split that it is of."""
    if (images.rows["part"] == "test").any():
        return rows_of(images.rows["part"], "test"), "official"
    split = "lesion" if config.split == "official" else config.split
    parts = split_rows(images, split, config.val_fraction, config.test_fraction, config.split_seed)
    return rows_of(parts, "test"), split


def _seen(run: Run, store: RunStore, images: ImageSet, pixels: np.ndarray, rows: np.ndarray) -> list[str | None]:
    """For each of the rows the reason in `REASONS` why it does not count as a test image, or None."""
    own, own_pixels, used = _own_data(run, store)
    ids, groups = (set(own.rows[column].to_numpy()[used]) for column in ("image_id", "group"))
    contents = {_content(own_pixels[row]) for row in used}
    table = images.rows.iloc[rows]

    def reason(row: int, image_id: str, group: str) -> str | None:
        if image_id in ids:
            return "image_id"
        if _content(pixels[row]) in contents:
            return "content"
        return "group" if group in groups else None

    return [*map(reason, rows, table["image_id"], table["group"])]


def _own_data(run: Run, store: RunStore) -> tuple[ImageSet, np.ndarray, np.ndarray]:
    """The run's own images and pixels, and the rows that it was trained or validated on.

    Raises:
        WorkbookFileError: they are not there. WorkbookError: they are others than the run was trained on.
    """
    try:
        own, pixels, parts = prepare(run.config, store)
    except WorkbookError as error:
        raise WorkbookFileError(
            f"What {run.path.name} was trained on cannot be left out of the test, for its own data cannot be had: {error}"
        ) from error
    if own.fingerprint() != run.provenance["data_fingerprint"] or changed(run.basis, {CONTENT: content_digest(pixels)}):
        raise WorkbookError(
            f"The data of {run.path.name} ({own.name}) have changed since it was trained, so what it has seen cannot be "
            f"left out of the test: restore them, or remove {run.path} and train it again."
        )
    return own, pixels, np.flatnonzero(parts.isin(["train", "val"]))


def _content(pixels: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(pixels)).digest()


def _in_words(dropped: dict[str, int]) -> str:
    return ", ".join(f"{number} by {reason}" for reason, number in dropped.items() if number)
