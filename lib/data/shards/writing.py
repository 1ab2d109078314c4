"""Folders of images packed into tar shards."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lib.data.imageset import ImageRow, ImageSet
from lib.data.sets.folders import load_image_folder
from lib.data.shards.braces import webdataset
from lib.data.splits import rows_of, split_rows
from lib.errors import WorkbookFileError, positive
from lib.files import save_folder
from lib.progress import Progress


def write_shards(
    images: ImageSet, parts: pd.Series, target: Path, images_per_shard: int = 1000, seed: int | None = 0
) -> int:
    """Pack images into `<part>-00000.tar`, …, beside `classes.txt` and `sizes.json`; returns the number of shards.

    Files are packed as they are, of a set with a banner the pictures without it. Training images are shuffled by `seed` first (None leaves them in order), since a stream
    shuffles only what its buffer holds; a part's shards have equal numbers of images, or differ by one.

    Args:
        images, parts: a set and the part of each row, see `split_rows`; rows of other parts are left out.
        target: a folder that does not exist yet.

    Raises:
        WorkbookError: `webdataset` is not installed, or the disk is full.
        WorkbookFileError: `target` exists. WorkbookValueError: a number that is not positive.
    """
    positive(images_per_shard=images_per_shard)
    webdataset()
    if target.exists():
        raise WorkbookFileError(f"{target} exists already; remove it, or give another folder for the shards.")
    sizes: dict[str, int] = {}

    def write(scratch: Path) -> None:
        with Progress(int(parts.isin(["train", "val", "test"]).sum()), f"packing {images.name}") as bar:
            for part in ("train", "val", "test"):
                rows = rows_of(parts, part)
                if part == "train" and seed is not None:
                    rows = np.random.default_rng(seed).permutation(rows)
                for number, packed in enumerate(np.array_split(rows, -(-len(rows) // images_per_shard) or 1)):
                    if len(packed):
                        name = f"{part}-{number:05d}.tar"
                        _write_shard(scratch / name, images, packed, bar)
                        sizes[name] = len(packed)
        (scratch / "classes.txt").write_bytes(os.fsencode("\n".join(images.classes) + "\n"))
        (scratch / "sizes.json").write_text(json.dumps(sizes, indent=1), encoding="utf-8")

    save_folder(target, write)
    return len(sizes)


def _write_shard(path: Path, images: ImageSet, rows: np.ndarray, bar: Progress) -> None:
    with webdataset().TarWriter(str(path), mtime=0) as shard:  # equal images make equal bytes
        for number, row in enumerate(images.rows.iloc[rows].itertuples()):
            suffix, content = _packed(images, row)
            shard.write({"__key__": f"{number:06d}", suffix: content, "cls": str(row.label).encode()})
            bar.advance()


def _packed(images: ImageSet, row: ImageRow) -> tuple[str, bytes]:
    """The suffix and the content of an image's file, or of its picture: a stream knows of no banner."""
    if not images.banner:
        return Path(row.path).suffix[1:].lower(), Path(row.path).read_bytes()
    content, (width, height) = io.BytesIO(), images.picture_size(row)
    Image.fromarray(images.decode(row, (height, width))).save(content, "PNG")
    return "png", content.getvalue()


def find_parts(source: Path, val_fraction: float, test_fraction: float, seed: int = 0) -> tuple[ImageSet, pd.Series]:
    """The images of a folder and the part of each: class folders, which are divided, or train/ beside val/ or test/ with
    class folders in each; where there is no val/, `val_fraction` of train/ is held out.

    Raises:
        WorkbookFileError: see `load_image_folder`.
    """
    images = load_image_folder(source, Path(source).name)
    parts = images.rows["part"]
    if not parts.any():
        return images, split_rows(images, "lesion", val_fraction, test_fraction, seed)
    return images, parts if "val" in set(parts) else split_rows(images, "official", val_fraction, seed=seed)
