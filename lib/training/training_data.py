"""What a run is trained and tested on: all images at hand as an array of pixels, or shards to be streamed."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lib.data import ImageSet, load_dataset, load_pixels, split_rows
from lib.data.shards import ShardSet, ShardStream, load_shards
from lib.errors import WorkbookValueError
from lib.training.config import RunConfig
from lib.training.inference import decoded_size
from lib.training.store import RunStore


class DecodedImages(NamedTuple):
    """Images that are all at hand, decoded."""

    images: ImageSet
    pixels: np.ndarray  # uint8 [n, height, width, 3]
    parts: pd.Series  # of each row


TrainingData = DecodedImages | ShardSet

HELD_OUT = ("val", "val_query", "val_gallery")
REFITTED_PARTS = {"none": (), "val": HELD_OUT, "all": (*HELD_OUT, "test")}  # that are trained on, too


def stream_of(config: RunConfig, shards: ShardSet, part: str, batch_size: int, **share: Any) -> ShardStream:
    """The images of a part as a run wants them; `share` is what else ShardStream takes."""
    size, workers = decoded_size(config), config.loader_workers
    options = {"seed": config.seed, "skip_unreadable": config.skip_unreadable, **share}
    return ShardStream(shards.parts[part], len(shards.classes), size, batch_size, workers, **options)


def prepare(config: RunConfig, store: RunStore) -> DecodedImages:
    """The data of a run that is not streamed: the image set, its pixels [n, height, width, 3] and the part of each row.

    Raises:
        WorkbookValueError: it is. Else what `load_images` and `load_training_data` raise.
    """
    return _decoded(config, store, _listed(config))


def load_images(config: RunConfig) -> ImageSet | ShardSet:
    """The images that `config` names, none of them decoded.

    Raises:
        WorkbookFileError: they are not there. WorkbookValueError: they do not suit the task.
    """
    return load_shards(config.data_root) if config.streams else _listed(config)


def _listed(config: RunConfig) -> ImageSet:
    images = load_dataset(config.dataset, config.data_root, config.limit_images, config.skip_unreadable)
    if config.task == "reid" and not images.is_reid:
        raise WorkbookValueError(
            f"{images.name} shows no identities that cameras have seen: task='reid' needs a re-identification set, such as "
            "phantom-people or Market-1501."
        )
    if images.is_reid and config.task != "reid":
        raise WorkbookValueError(
            f"{images.name} is a re-identification set, whose test identities are none of the training's: task={config.task!r} "
            "cannot learn them; choose task='reid'."
        )
    return images


def load_training_data(config: RunConfig, store: RunStore, images: ImageSet | ShardSet) -> TrainingData:
    """`images` ready for training: their pixels from the cache, or as they are where they are streamed.

    Raises:
        WorkbookFileError: images that cannot be read, unless these may be skipped. WorkbookValueError: they cannot be
            split as `config` says.
    """
    return images if isinstance(images, ShardSet) else _decoded(config, store, images)


def _decoded(config: RunConfig, store: RunStore, images: ImageSet) -> DecodedImages:
    images, pixels = load_pixels(images, decoded_size(config), store.cache, config.skip_unreadable)
    parts = split_rows(images, config.split, config.val_fraction, config.test_fraction, config.split_seed)
    return DecodedImages(images, pixels, parts.replace(dict.fromkeys(REFITTED_PARTS[config.refit], "train")))
