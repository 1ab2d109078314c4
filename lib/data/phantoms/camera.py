"""The camera and the lamp of the second clinic, whose pictures are `phantom-clinic`.

A domain shift and nothing else: what a lesion is does not change, only how it is photographed. The lamp is cold and
stands to one side, the lens is a little soft and darkens the corners, the camera lifts the shadows and flattens the
contrast, and its sensor is noisier. The same for all classes.
"""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

LAMP = np.float32([0.80, 0.98, 1.14])  # factor of R, G, B: skin turns from pink to a cold mauve
SOFTNESS = 0.7  # pixels, standard deviation of the lens's blur
GAMMA = 0.8  # below 1: shadows are lifted
CONTRAST, GREY = 0.72, 0.56  # what is left of a pixel's difference from this grey
NOISE = 0.012  # standard deviation, full scale is 1


def photograph(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The uint8 [H, W, 3] picture as the second clinic's camera takes it: same size, type and place of all things."""
    height, width = picture.shape[:2]
    soft = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(SOFTNESS * rng.uniform(0.7, 1.3)))
    planes = np.asarray(soft).transpose(2, 0, 1).astype(np.float32, order="C")  # quicker than pixels of three
    light = planes / 255 * LAMP[:, None, None] * rng.normal(1, 0.02, (3, 1, 1)) * _lamp(height, width, rng)
    toned = GREY + CONTRAST * (light.clip(0, 1) ** GAMMA - GREY)
    noisy = toned + NOISE * rng.standard_normal((height, width))
    return np.clip(255 * noisy + 0.5, 0, 255).transpose(1, 2, 0).astype(np.uint8, order="C")


def _lamp(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Brightness [H, W]: it falls from the lamp's side to the other, and towards the corners."""
    x, squares = _frame(height, width)
    corners = 1 - rng.uniform(0.12, 0.22) * squares / 2
    side = 1 - rng.uniform(0.05, 0.15) * x  # the lamp stands to the left
    return corners * side


@lru_cache(maxsize=4)
def _frame(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The place from left to right, -1..1, and the squared distance from the middle of each pixel [H, W]."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return x, x**2 + y**2
