"""Data: loaders of the official layouts, honest splits, cached pixels. Knows no model."""

from lib.data.augmentation import AUGMENTATIONS, VIEWS, centre_view, stored_size
from lib.data.boxes import relative_boxes
from lib.data.datasets import DATASETS, SHARDS, Dataset, in_full, load_dataset
from lib.data.decoding import decode
from lib.data.ground_truth import Truth, box_masks, masks_in_view, truth_in_view
from lib.data.imageset import ImageSet
from lib.data.pixels import load_pixels
from lib.data.sampling import SAMPLERS, BatchShares, EpochBatches, mixed_seed
from lib.data.sets.cub import Part, load_parts
from lib.data.splits import REID_PARTS, SPLITS, leak_share, rows_of, split_identities, split_rows

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "REID_PARTS",
    "SAMPLERS",
    "SHARDS",
    "SPLITS",
    "VIEWS",
    "BatchShares",
    "Dataset",
    "EpochBatches",
    "ImageSet",
    "Part",
    "Truth",
    "box_masks",
    "centre_view",
    "decode",
    "in_full",
    "leak_share",
    "load_dataset",
    "load_parts",
    "load_pixels",
    "masks_in_view",
    "mixed_seed",
    "relative_boxes",
    "rows_of",
    "split_identities",
    "split_rows",
    "stored_size",
    "truth_in_view",
]
