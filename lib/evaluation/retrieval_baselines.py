"""Baselines of a search, which have learned nothing: chance, and comparing the colours place by place."""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from einops import rearrange

from lib.data import ImageSet, rows_of
from lib.data.imageset import JUNK
from lib.retrieval.distances import Embedded
from lib.retrieval.ranking import RetrievalScores, retrieval_scores
from lib.training.identities import embedded

PLACES = (32, 16)  # (rows, columns) of the mean colours that stand for an image


def chance_of_map(query: Embedded, gallery: Embedded) -> float:
    """mAP to be expected of a gallery in random order.

    Of a query with m right images among the n that count, place k is right with probability m/n, and then (k − 1) ·
    (m − 1)/(n − 1) of the places before it are, on average, so that

        E[AP] = (H + (m − 1)/(n − 1) · (n − H)) / n,    H = 1 + 1/2 + … + 1/n

    Queries without a match are left out.
    """
    known = gallery.identities != JUNK
    precisions = []
    for identity, camera in zip(query.identities, query.cameras, strict=True):
        same = gallery.identities == identity
        m = int((same & (gallery.cameras != camera)).sum())
        n = int((known & ~(same & (gallery.cameras == camera))).sum())
        if m:
            harmonic = (1 / np.arange(1, n + 1)).sum()
            precisions.append((harmonic + (m - 1) / max(n - 1, 1) * (n - harmonic)) / n)
    return float(np.mean(precisions))


def pixel_scores(images: ImageSet, pixels: np.ndarray, parts: pd.Series) -> RetrievalScores:
    """Every query ranked by its pixels: mean colours at `PLACES`, less the image's own mean, by cosine.

    The arguments are what `lib.training.prepare` gives. A camera's light and tint go with the image's mean.
    """
    query, gallery = (_colours(images, pixels, rows_of(parts, part)) for part in ("query", "gallery"))
    return retrieval_scores(query, gallery, "cosine", skip_unmatched=True)


def _colours(images: ImageSet, pixels: np.ndarray, rows: np.ndarray) -> Embedded:
    places = [
        F.adaptive_avg_pool2d(rearrange(torch.from_numpy(pixels[part]), "b h w c -> b c h w").float(), PLACES)
        for part in np.array_split(rows, 1 + len(rows) // 1024)
    ]
    colours = torch.cat(places)
    return embedded((colours - colours.mean(dim=(2, 3), keepdim=True)).flatten(1), images.rows.iloc[rows])
