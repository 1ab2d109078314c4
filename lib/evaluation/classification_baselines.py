"""Baselines of a classification, which see no texture: chance, and a linear reading of the colours place by place."""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lib.data import rows_of
from lib.training.metrics import measure
from lib.training.training_data import DecodedImages

PLACES = (16, 16)  # (rows, columns) of the mean colours that stand for an image
STEPS = 200  # of the fit at most


def linear_probe(prepared: DecodedImages) -> dict[str, float]:
    """Test metrics of a logistic regression on mean colours at `PLACES`, trained on the training part.

    Args:
        prepared: what `lib.training.prepare` gives.
    """
    images, _, parts = prepared
    colours, labels = _colours(prepared.pixels), images.rows["label"].to_numpy()
    train, test = rows_of(parts, "train"), rows_of(parts, "test")
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=STEPS))
    probe.fit(colours[train], labels[train])
    probabilities = np.zeros((len(test), len(images.classes)))
    probabilities[:, probe.classes_] = probe.predict_proba(colours[test])
    return measure(probabilities, labels[test], images.classes)


def _colours(pixels: np.ndarray) -> np.ndarray:
    """float32 [N, places · 3] of uint8 [N, H, W, 3]."""
    parts = [
        F.adaptive_avg_pool2d(rearrange(torch.tensor(part), "b h w c -> b c h w").float(), PLACES)
        for part in np.array_split(pixels, 1 + len(pixels) // 1024)
    ]
    return torch.cat(parts).flatten(1).numpy()
