"""What notebook 01 concludes is counted on the images, and follows from the leak."""

import pandas as pd

from lib.data import ImageSet
from lib.report.study.data_conclusions import data_figures, leak_verdict


def test_the_numbers_are_those_of_images_lesions_classes_and_leaks():
    rows = {"image_id": list("abcdef"), "path": list("abcdef"), "label": [0, 0, 0, 0, 1, 1], "group": list("uuvwxy")}
    images = ImageSet("six", ("common", "rare"), pd.DataFrame(rows))
    leaky, honest = pd.DataFrame({"all": [0.5, 0.25]}), pd.DataFrame({"all": [0.0, 0.0]})
    assert data_figures(images, images.rows[:2], leaky, honest) == {
        "images": "6",
        "lesions": "5 (1 with several views)",
        "imbalance": "2 : 1",
        "byte-identical images": "2",
        "test images that leak, image-level split": "37.5 %",
        "test images that leak, lesion-level split": "0.0 %",
    }


def test_the_verdict_follows_from_the_leak():
    assert "would place 38 % of the test images" in leak_verdict(pd.DataFrame({"all": [0.5, 0.26]}))
    assert "hardly leaks" in leak_verdict(pd.DataFrame({"all": [0.0, 0.01]}))
