"""The identities of a re-identification set, as training, validation and test need them."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lib.data import ImageSet
from lib.retrieval.distances import Embedded


def trained_identities(images: ImageSet, parts: pd.Series) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes of the network's head, and each row's index among them: −1 for images that are not trained on."""
    labels = images.rows["label"].to_numpy(dtype=np.int64)
    training = (parts == "train").to_numpy()
    known = np.unique(labels[training])
    index = np.full(len(labels), -1)
    index[training] = np.searchsorted(known, labels[training])
    return tuple(images.classes[i] for i in known), index


def embedded(vectors: Tensor | np.ndarray, table: pd.DataFrame) -> Embedded:
    """`vectors` [N, D] of the images in `table`, which has the columns `identity` and `camera`."""
    return Embedded(torch.as_tensor(vectors), table["identity"].to_numpy(), table["camera"].to_numpy())
