"""Images that a view may show: those of a set, and files that a person brings."""

from collections import OrderedDict
from dataclasses import replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image

from lib.data import ImageSet
from lib.data.decoding import decode
from lib.errors import WorkbookFileError, WorkbookValueError
from lib.evaluation.test_images import TestImages
from lib.explain.views.brush import painted
from lib.training.config import RunConfig
from lib.training.inference import decoded_size

MOST_BROUGHT = 24  # files that are kept
LARGEST = 2048  # pixels, the longer side of a picture in a view
THUMBNAIL = 72  # pixels


class Pictures:
    """Images by id, each decoded when it is asked for, at the size of the network that it is asked for."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images
        self._places = pd.Series(range(len(images.rows)), images.rows["image_id"])
        self._brought: OrderedDict[str, ImageSet] = OrderedDict()
        self.origins: dict[str, str] = {}  # of images that were painted on
        self._numbers = count(1)
        self._kept = TemporaryDirectory(prefix="workbook-view-")  # as long as this
        self.folder = Path(self._kept.name)
        self.one = lru_cache(64)(self._one)

    def _one(self, image: str, config: RunConfig) -> TestImages:
        """The image as networks of `config` are tested on it."""
        images = self.set_of(image)
        row = next(images.rows.itertuples())
        return TestImages(config, images, images.decode(row, decoded_size(config))[None], np.zeros(1, int))

    def set_of(self, image: str) -> ImageSet:
        """A set of this image alone.

        Raises:
            WorkbookValueError: there is none of that id.
        """
        if image in self._brought:
            return self._brought[image]
        if image not in self._places.index:
            raise WorkbookValueError(f"There is no image {image!r} here any more: choose or bring it again.")
        place = self._places[image]
        return replace(self.images, rows=self.images.rows.iloc[[place]].reset_index(drop=True))

    def source(self, image: str, config: RunConfig) -> str:
        """The image as `map_figure` takes it: its id where it is of the run's own set, else its file."""
        own = image not in self._brought and self.images.name == config.dataset
        return image if own else str(self.set_of(image).rows["path"].iloc[0])

    def thumbnail(self, image: str) -> np.ndarray:
        """The picture as it is on disk, in its own proportions and no side longer than THUMBNAIL pixels: uint8 [h, w, 3]."""
        images = self.set_of(image)
        return images.thumbnail(next(images.rows.itertuples()), THUMBNAIL)

    def shown(self, image: str, config: RunConfig, longest: int) -> np.ndarray:
        """What networks of `config` are shown, in as many pixels as the original has, `longest` at most: [H, W, 3]."""
        seen = self.one(image, config)
        original = max(seen.images.picture_size(next(seen.images.rows.itertuples())))
        longest = max(min(longest, original, LARGEST), *config.size)
        return seen.resized(tuple(round(side * longest / max(config.size)) for side in config.size))[0]

    def bring(self, name: str, content: bytes) -> str:
        """Take the image file `name`; returns its id.

        Raises:
            WorkbookFileError: it is no image that can be read.
        """
        path = self.folder / f"{next(self._numbers)}-{Path(name).name[-80:]}"
        path.write_bytes(content)
        try:
            decode(path, 8)
        except WorkbookFileError as error:
            path.unlink()
            raise WorkbookFileError(str(error).replace(str(path), name)) from error
        return self.add(f"{name} (yours)", path)

    def paint(self, image: str, config: RunConfig, missing: np.ndarray, fill: str) -> str:
        """The image with `missing`, bool [h, w] over what networks of `config` are shown, filled in; returns its id.

        Raises:
            WorkbookValueError: see `painted`.
        """
        images = self.set_of(image)
        row = next(images.rows.itertuples())
        width, height = images.picture_size(row)
        scale = min(1, LARGEST / max(width, height))
        picture = images.decode(row, (round(height * scale), round(width * scale)))
        whole = over_all(missing, config)
        whole = Image.fromarray(whole).resize(picture.shape[1::-1], Image.Resampling.NEAREST)
        path = self.folder / f"{next(self._numbers)}.png"
        Image.fromarray(painted(picture, np.asarray(whole), fill)).save(path, compress_level=1)
        new = self.add(f"{image}, painted {path.stem}", path, like=image)
        self.origins[new] = image
        return new

    def add(self, image: str, path: Path, like: str | None = None) -> str:
        """Offer the file at `path` as `image`, of which is known what is known of the image `like`."""
        if like is None:
            rows = pd.DataFrame({"image_id": [image], "path": [str(path)], "label": [-1]})
            added = ImageSet("yours", (), rows)
        else:
            source = self.set_of(like)
            added = replace(source, rows=source.rows.assign(image_id=image, path=str(path)), banner=0)
        self._brought[image] = added
        self.one.cache_clear()  # a file of the same name may be another
        while len(self._brought) > MOST_BROUGHT:
            old, gone = self._brought.popitem(last=False)
            self.origins.pop(old, None)
            Path(gone.rows["path"].iloc[0]).unlink(missing_ok=True)
        return image


def over_all(missing: np.ndarray, config: RunConfig) -> np.ndarray:
    """What covers the middle of an image that networks of `config` are shown, bool [h, w], over all of it: [H, W]."""
    shown = Image.fromarray(missing).resize(config.size[::-1], Image.Resampling.NEAREST)
    sides = zip(decoded_size(config), config.size, strict=True)
    rims = [((kept - side) // 2, kept - side - (kept - side) // 2) for kept, side in sides]
    return np.pad(np.asarray(shown), rims)
