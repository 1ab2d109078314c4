"""The picture under a map shows what the network was shown."""

import numpy as np
from PIL import Image

from lib.report.figures.run_figures import SHOWN, sharp


def test_where_training_crops_the_picture_is_the_middle(tmp_path):
    pixels = np.zeros((550, 550, 3), np.uint8)
    pixels[51:499, 51:499] = 255  # 448 of 550: the middle that a network for fine-grained recognition sees
    Image.fromarray(pixels).save(tmp_path / "a.png")
    whole, seen = (sharp(str(tmp_path / "a.png"), augmentation) for augmentation in ("none", "fine_grained"))
    assert whole.shape == seen.shape == (SHOWN, SHOWN, 3)
    assert seen[2:-2, 2:-2].min() > 250
    assert whole[:10].max() < 5
