"""Data: loaders of the official layouts, honest splits, cached pixels. Knows no model."""

from lib.data.augmentation import AUGMENTATIONS
from lib.data.datasets import DATASETS, Dataset, load_dataset
from lib.data.imageset import ImageSet
from lib.data.pixels import decode, load_pixels
from lib.data.sampling import SAMPLERS, EpochBatches
from lib.data.splits import SPLITS, leak_share, rows_of, split_rows

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "SAMPLERS",
    "SPLITS",
    "Dataset",
    "EpochBatches",
    "ImageSet",
    "decode",
    "leak_share",
    "load_dataset",
    "load_pixels",
    "rows_of",
    "split_rows",
]
