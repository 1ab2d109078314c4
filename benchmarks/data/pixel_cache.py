"""A batch from the uint8 cache against the same batch decoded from JPEG and augmented image by image (torchvision)."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from benchmarks.program import run
from benchmarks.rows import Row
from benchmarks.timing import side_by_side
from lib.data import AUGMENTATIONS, load_dataset, load_pixels
from lib.training.inference import IMAGENET, normalise, to_unit

SIZE, BATCH = 64, 64


def rows(quick: bool = False) -> Iterator[Row]:
    images = load_dataset("phantom-lesions")
    with tempfile.TemporaryDirectory() as cache:
        _, pixels = load_pixels(images, SIZE, Path(cache))
        taken = np.random.default_rng(0).choice(len(pixels), BATCH, replace=False)
        one_by_one = v2.Compose(
            [
                v2.Resize((SIZE, SIZE)),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.ColorJitter(0.1, 0.1, 0.1),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

        def cached() -> torch.Tensor:
            return normalise(AUGMENTATIONS["dermoscopy"](to_unit(torch.from_numpy(pixels[taken]))), IMAGENET)

        def decoded() -> torch.Tensor:
            return torch.stack([one_by_one(Image.open(images.rows["path"][i]).convert("RGB")) for i in taken])

        what = f"{BATCH} images of {SIZE}×{SIZE} decoded and augmented one by one"
        yield side_by_side(what, "from the cache, at once", decoded, cached, rounds=3 if quick else 9)


if __name__ == "__main__":
    run(rows)
