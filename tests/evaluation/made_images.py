"""Images of noise on disk, prepared as a run's are, for what looks at test images without training anything."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lib.data import ImageSet, Truth, decode
from lib.evaluation.test_images import TestImages, select_images
from lib.training import RunConfig
from lib.training.inference import decoded_size
from lib.training.training_data import DecodedImages

CLASSES, SIDE = ("A_Bird", "B_Bird"), 80


def prepared_of(
    folder: Path, config: RunConfig, count: int = 4, banner: int = 0, phantom: bool = True
) -> DecodedImages:
    """`count` images of `SIDE`² pixels above a white banner, of two classes in turn, all of the test part."""
    rng, paths = np.random.default_rng(0), [str(folder / f"i{i}.png") for i in range(count)]
    for path in paths:
        pixels = np.full((SIDE + banner, SIDE, 3), 255, np.uint8)
        pixels[:SIDE] = rng.integers(0, 200, (SIDE, SIDE, 3))
        Image.fromarray(pixels).save(path)
    table = {"image_id": [f"i{i}" for i in range(count)], "path": paths, "label": np.arange(count) % 2}
    table |= {"group": [f"g{i:02d}" for i in range(count)], "mask": "", "part": "test"}
    images = ImageSet("made", CLASSES, pd.DataFrame(table), is_phantom=phantom, banner=banner)
    pixels = np.stack([decode(path, decoded_size(config), banner) for path in paths])
    return DecodedImages(images, pixels, images.rows["part"])


@dataclass(frozen=True)
class Known(TestImages):
    """Images of which a test says what is true."""

    truth: Truth | None = None
    masks: np.ndarray | None = None

    def __getitem__(self, places: object) -> TestImages:
        truth = self.truth and Truth(self.truth.boxes[places], self.truth.parts, self.truth.places[places])
        masks = None if self.masks is None else self.masks[places]
        return replace(super().__getitem__(places), truth=truth, masks=masks)


def images_of(
    folder: Path, config: RunConfig, truth: Truth | None = None, masks: np.ndarray | None = None, **made: int
) -> TestImages:
    """All of `prepared_of`, and what is true of them."""
    images = select_images(config, prepared_of(folder, config, **made))
    return Known(images.config, images.images, images.stored, images.rows, truth, masks)
