"""What is tried on drawn images beside networks: classifiers that see no places, or no shapes, as lower brackets."""

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import LogisticRegression

Part = tuple[np.ndarray, np.ndarray]  # pictures [N, H, W] or [N, H, W, 3], and classes [N]


def linear_probe(train: Part, test: Part, strength: float = 1e-3) -> float:
    """Test accuracy of a logistic regression on pixels, scaled as a whole; `strength` is scikit-learn's C."""
    (x, y), (of_test, right) = train, test
    pixels = [((pictures - x.mean()) / x.std()).reshape(len(pictures), -1) for pictures in (x, of_test)]
    return LogisticRegression(C=strength, max_iter=200).fit(pixels[0], y).score(pixels[1], right)


def patch_bag(train: Part, test: Part, side: int, words: int = 64) -> float:
    """Test accuracy of a logistic regression on counts of visual words: k-means of patches of `side` pixels on a grid."""
    (x, y), (of_test, right) = train, test
    patches = [_patches(pictures, side) for pictures in (x, of_test)]
    kmeans = MiniBatchKMeans(words, random_state=0, n_init=1).fit(patches[0].reshape(-1, patches[0].shape[2])[:20_000])
    counts = [_counts(kmeans, of_part, words) for of_part in patches]
    return LogisticRegression(C=0.1, max_iter=300).fit(counts[0], y).score(counts[1], right)


def _patches(pictures: np.ndarray, side: int) -> np.ndarray:
    """[N, H, W, …] → [N, patches, values]"""
    number, height, width = pictures.shape[:3]
    grid = pictures.reshape(number, height // side, side, width // side, -1).swapaxes(2, 3)
    return grid.reshape(number, height // side * (width // side), -1).astype(float)


def _counts(kmeans: MiniBatchKMeans, patches: np.ndarray, words: int) -> np.ndarray:
    each = kmeans.predict(patches.reshape(-1, patches.shape[2])).reshape(len(patches), -1)
    return np.stack([np.bincount(row, minlength=words) for row in each])
