"""A counterfactual brush: what stands in a picture where a person has painted something out."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageFilter

from lib.errors import WorkbookValueError, choose
from lib.explain.scores.imputation import imputed
from lib.training.inference import to_unit

BLUR = 0.04  # standard deviation, as a share of the longer side
COARSE = 256  # pixels, the longer side of the picture in which holes are filled in


def mean_colour(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """[H, W, 3]: the mean colour of what is left."""
    return np.broadcast_to(picture[~missing].mean(axis=0).astype(np.uint8), picture.shape)


def blurred(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """[H, W, 3]: the picture without detail."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(BLUR * max(missing.shape))))


def from_neighbours(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """[H, W, 3]: holes filled in from what surrounds them (`lib.explain.scores.imputation`), without its noise."""
    small, hole = Image.fromarray(picture), Image.fromarray(missing)
    small.thumbnail((COARSE, COARSE), Image.Resampling.BOX)
    hole = torch.from_numpy(np.asarray(hole.resize(small.size, Image.Resampling.NEAREST)).copy())
    filled = imputed(to_unit(torch.from_numpy(np.asarray(small).copy())[None]), hole[None], noise=0)
    pixels = filled[0].permute(1, 2, 0).mul(255).round().clamp(0, 255).byte().numpy()
    return np.asarray(Image.fromarray(pixels).resize(picture.shape[1::-1], Image.Resampling.BILINEAR))


FILLS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "neighbours": from_neighbours,
    "blur": blurred,
    "mean colour": mean_colour,
}


def painted(picture: np.ndarray, missing: np.ndarray, fill: str) -> np.ndarray:
    """`picture`, uint8 [H, W, 3], with what a name in `FILLS` puts where `missing`, bool [H, W]; the rest is as it was.

    Raises:
        WorkbookValueError: an unknown fill, or nothing is left.
    """
    fill = choose("fill", fill, FILLS)
    if missing.all():
        raise WorkbookValueError("All of the image is painted over: leave some of it.")
    return np.where(missing[..., None], FILLS[fill](picture, missing), picture) if missing.any() else picture
