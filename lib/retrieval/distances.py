"""Distances between embeddings, a block of queries at a time, and their order: what ranking and re-ranking stand on.

All distances of MSMT17 (11,659 queries × 82,161 gallery images) would be 3.8 GB, and as much again to sort them; a block
of queries takes `BLOCK_BYTES` in all, whatever the gallery's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.errors import WorkbookValueError, choose

DISTANCES = ("cosine", "euclidean")
BLOCK_BYTES = 256 * 2**20
BYTES_A_PAIR = 24  # the distance, its sort key, and what makes them
LAST_KEY = np.uint64(2**64 - 1)  # sorts behind every key of `sort_keys`
GREATEST_SQUARE = 1e37  # of a vector's length: four times as much is still finite in float32


@dataclass(frozen=True)
class Embedded:
    """Images as vectors, with who is on them and which camera took them.

    Attributes:
        vectors: [N, D], real and finite; kept as float32 on the device that they come from.
        identities: [N] whole numbers. In a gallery −1 is junk, which is ignored; a distractor (0 in Market-1501) needs
            no rule: no query may bear its number, so it is wrong for all of them.
        cameras: [N] whole numbers.

    Raises:
        WorkbookValueError: shapes that differ, no images, identities or cameras that are no whole numbers, or vectors
            that are not real or not finite.
    """

    vectors: Tensor
    identities: np.ndarray
    cameras: np.ndarray

    def __post_init__(self) -> None:
        vectors = torch.as_tensor(self.vectors).detach()
        if vectors.is_complex():
            raise WorkbookValueError(f"Embeddings must be real, not {vectors.dtype}: take their .real or .abs() first.")
        vectors = vectors.float()
        identities, cameras = (_whole(name, getattr(self, name)) for name in ("identities", "cameras"))
        if vectors.ndim != 2 or len(vectors) == 0:
            raise WorkbookValueError(
                f"Embeddings must be [images, dimensions] with an image, not {list(vectors.shape)}."
            )
        if not len(vectors) == len(identities) == len(cameras):
            raise WorkbookValueError(
                f"{len(vectors)} embeddings, {len(identities)} identities and {len(cameras)} cameras do not belong "
                "together: give one of each an image, in one order."
            )
        broken = ~(vectors.square().sum(dim=1) < GREATEST_SQUARE)
        if broken.any():
            raise WorkbookValueError(
                f"{int(broken.sum())} of {len(vectors)} embeddings are not finite or too great to square, first in row "
                f"{int(broken.nonzero()[0])}: the network has diverged; lower lr or embed with precision='32'."
            )
        for name, value in (("vectors", vectors), ("identities", identities), ("cameras", cameras)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: Sequence[int]) -> Embedded:
        """The images of `rows`, in this order."""
        rows = np.asarray(rows, dtype=int)
        return Embedded(self.vectors[rows], self.identities[rows], self.cameras[rows])


def _whole(name: str, values: np.ndarray) -> np.ndarray:
    """`values` [N] as int64.

    Raises:
        WorkbookValueError: they are not [N], no numbers, or not whole.
    """
    given = np.asarray(values)
    if given.ndim != 1:
        raise WorkbookValueError(f"The {name} must be [images], not {list(given.shape)}: give one number an image.")
    if given.dtype.kind not in "iuf":
        raise WorkbookValueError(f"The {name} must be numbers, not {given.dtype}: number them first.")
    with np.errstate(invalid="ignore"):  # NaN and infinity become a number that they are not equal to
        whole = given.astype(np.int64)
    wrong = np.flatnonzero(whole != given)
    if len(wrong):
        raise WorkbookValueError(
            f"{len(wrong)} of {len(given)} {name} are no whole numbers, first {given[wrong[0]]} in row {wrong[0]}: "
            "correct them, or leave their images out."
        )
    return whole


def comparable(query: Embedded, gallery: Embedded, distance: str) -> tuple[Tensor, Tensor]:
    """Both sides' vectors, whose Euclidean distances rank as `distance` does: of unit length for cosine.

    Raises:
        WorkbookValueError: an unknown distance, or vectors of different dimensions.
    """
    if query.vectors.shape[1] != gallery.vectors.shape[1]:
        raise WorkbookValueError(
            f"The queries have {query.vectors.shape[1]} dimensions, the gallery {gallery.vectors.shape[1]}: "
            "embed both with one model."
        )
    if choose("distance", distance, DISTANCES) == "euclidean":
        return query.vectors, gallery.vectors
    return F.normalize(query.vectors, dim=1), F.normalize(gallery.vectors, dim=1)


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """|a − b|² for all pairs of [M, D] and [N, D] → [M, N], by one matrix product; never negative."""
    lengths = (first.square().sum(dim=1)[:, None], second.square().sum(dim=1)[None])
    squares = torch.addmm(lengths[1], first, second.T, alpha=-2).add_(lengths[0])
    return squares.clamp_(min=0)


def block_rows(columns: int) -> int:
    """How many rows of `columns` pairs a block holds."""
    return max(1, BLOCK_BYTES // (BYTES_A_PAIR * columns))


def distance_blocks(query: Embedded, gallery: Embedded, distance: str = "cosine") -> Iterator[Tensor]:
    """Distances [b, G] on the CPU of b queries to all gallery images, block by block in the order of the queries.

    `cosine` is 1 − cos in [0, 2] (a vector of zeros is at 1 from everything), `euclidean` the length of the difference.
    Raises as `comparable`.
    """
    cosine = choose("distance", distance, DISTANCES) == "cosine"
    queries, images = comparable(query, gallery, distance)
    # What all vectors share cancels in a difference, but not in rounding. A median is an element of its column (of two
    # middle ones the lower), so that whole numbers stay whole and ties exact.
    middle = images[:: max(1, len(images) // 1000)].median(dim=0).values
    of_queries, of_images = (1 - vectors.any(dim=1).float() for vectors in (queries, images))  # 1 for one of zeros
    images, rows = images - middle, block_rows(len(gallery))
    for block, zeros in zip((queries - middle).split(rows), of_queries.split(rows), strict=True):
        squares = squared_distances(block, images)
        if cosine:  # 1 − a·b = ½ |a − b|² where both have length 1
            yield squares.add_(zeros[:, None]).add_(of_images).div_(2).cpu()
        else:
            yield squares.sqrt_().cpu()


def sort_keys(distances: Tensor) -> np.ndarray:
    """Distances [..., G] ≥ 0 as whole numbers that sort by distance and, where two are equal, by column; uint64.

    The bits of a float32 that is not negative sort as the number does; below them stand the column's. No two keys of a
    row are equal, so any way to sort, split or count them breaks ties by column.
    """
    bits = (distances.numpy() + np.float32(0)).view(np.uint32)  # −0 + 0 is 0, whose bits are the least
    return (bits.astype(np.uint64) << np.uint64(32)) | np.arange(bits.shape[-1], dtype=np.uint64)


def columns_of(keys: np.ndarray) -> np.ndarray:
    """The columns that `sort_keys` put into its keys; int64."""
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
