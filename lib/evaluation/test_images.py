"""Test images on their one road to figures, views and scores: as they are kept, as a network is shown them, as people see
them, and what is true of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from einops import rearrange
from torch import Tensor, nn

from lib.data import ImageSet, Truth, centre_view, rows_of, stored_size, truth_in_view
from lib.data.ground_truth import box_masks, masks_in_view
from lib.errors import WorkbookValueError, choose, positive
from lib.training.config import RunConfig
from lib.training.inference import augmentation_of, network_input, predict_rows
from lib.training.training_data import DecodedImages

SHOWN = 200  # pixels, the height of an image that people look at
BATCH = 128  # images whose maps are read at once


@dataclass(frozen=True)
class TestImages:
    """N images as networks of `config` are tested on them; what costs something is made when it is first asked for.

    ::

        images = select_images(run.config, prepare(run.config, store), 20, "classes in turn")
        images.sharp[0], images.batch(model), images[3:5].masks
    """

    __test__ = False  # no test of pytest's

    config: RunConfig
    images: ImageSet  # these alone
    stored: np.ndarray  # uint8 [n, H, W, 3], the whole set, of which these are `rows`
    rows: np.ndarray  # [N]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: slice | Sequence[int] | np.ndarray) -> TestImages:
        """Those at `places`, in that order; unlike a set, they may hold an image twice, as two queries' first answer."""
        chosen = object.__new__(ImageSet)
        table = self.images.rows.iloc[places].reset_index(drop=True)
        vars(chosen).update({field.name: getattr(self.images, field.name) for field in fields(ImageSet)}, rows=table)
        return replace(self, images=chosen, rows=self.rows[places])

    @property
    def augmentation(self) -> str:
        """The one that training uses: it says whether a network is shown the middle of an image only."""
        return augmentation_of(self.config)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the K classes."""
        return self.images.classes

    @property
    def is_phantom(self) -> bool:
        """Whether the workbook has drawn them, which every figure has to say."""
        return self.images.is_phantom

    @property
    def ids(self) -> list[str]:
        """The `image_id` of each."""
        return self.images.rows["image_id"].tolist()

    @property
    def labels(self) -> np.ndarray:
        """The true classes [N]."""
        return np.array(self.images.rows["label"])

    @property
    def first_of_each_class(self) -> np.ndarray:
        """The places of the first image of each class that is there, in the order of the classes."""
        return np.unique(self.labels, return_index=True)[1]

    @property
    def groups(self) -> np.ndarray:
        """Whose images they are [N]; images of one lesion are no independent cases."""
        return self.images.rows["group"].to_numpy()

    @cached_property
    def pixels(self) -> np.ndarray:
        """uint8 [N, H, W, 3], as they are kept: larger than networks are shown them where training crops."""
        return np.ascontiguousarray(self.stored[self.rows])

    @cached_property
    def shown(self) -> np.ndarray:
        """uint8 [N, h, w, 3], as networks are shown them."""
        return centred(self.pixels, self.augmentation)

    @cached_property
    def sharp(self) -> np.ndarray:
        """uint8 [N, SHOWN, ·, 3]: what networks are shown, in as many pixels as people like."""
        height, width = self.config.size
        return self.resized((SHOWN, round(width * SHOWN / height)))

    def resized(self, size: tuple[int, int]) -> np.ndarray:
        """uint8 [N, height, width, 3]: decoded anew, with the same crop, and without the banner that the set cuts off."""
        kept = [stored_size(side, self.augmentation) for side in size]
        whole = [self.images.decode(row, kept) for row in self.images.rows.itertuples()]
        return centred(np.stack(whole), self.augmentation)

    @cached_property
    def truth(self) -> Truth:
        """The object's box and its parts, as shares of what networks are shown."""
        return truth_in_view(self.images, self.config.size, self.augmentation)

    @cached_property
    def masks(self) -> np.ndarray | None:
        """bool [N, h, w]: the object by its mask, in a set without masks by its box; None where neither is known."""
        if (self.images.rows["mask"] != "").any():
            masks = masks_in_view(self.images, self.config.size, self.augmentation)
        else:
            masks = box_masks(self.truth, self.config.size)
        return masks if masks.any() else None

    def batch(self, model: nn.Module) -> Tensor:
        """All of them as `model` is shown them, normalised, on the CPU: float [N, 3, h, w]."""
        return network_input(model, self.pixels, self.augmentation).cpu()

    def batches(self, model: nn.Module) -> Iterator[Tensor]:
        """The same, `BATCH` at a time, on the device of `model`."""
        for start in range(0, len(self), BATCH):
            yield network_input(model, self.stored[self.rows[start : start + BATCH]], self.augmentation)

    def probabilities(self, model: nn.Module) -> np.ndarray:
        """What `model` answers, as in the test of a run: float32 [N, K]."""
        return predict_rows(model, self.config, self.stored, self.rows)

    def names(self, answers: Sequence[int] | None = None) -> list[str]:
        """The true class of each, or 'true class → answer'."""
        true = [self.classes[label] for label in self.labels]
        if answers is None:
            return true
        return [f"{name} → {self.classes[answer]}" for name, answer in zip(true, answers, strict=True)]


def select_images(
    config: RunConfig,
    prepared: DecodedImages,
    count: int | None = None,
    order: str = "stored",
    *,
    ids: Sequence[str] | None = None,
    seed: int = 0,
) -> TestImages:
    """The test part, or its first `count` images in an `order`; or, of any part, the images named `ids`.

    Args:
        config: of the networks that are to be tested.
        prepared: what `lib.training.prepare` gives for it.
        order: 'stored'; 'classes in turn', so that rare ones are there; or 'shuffled', by `seed`.

    Raises:
        WorkbookValueError: `count` below 1, an unknown order, or ids that the set has not.
    """
    images, pixels, parts = prepared
    if ids is None:
        positive(count=len(images.rows) if count is None else count)
        labels = images.rows["label"].to_numpy()
        rows = ORDERS[choose("order", order, ORDERS)](rows_of(parts, "test"), labels, seed)[:count]
    else:
        rows = images.rows.set_index("image_id").index.get_indexer(ids)
        if (rows < 0).any():
            raise WorkbookValueError(f"{images.name} has no image {ids[int(np.argmin(rows))]!r}.")
    return TestImages(config, images, pixels, np.arange(len(images.rows)))[rows]


def in_turn(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`rows`, the classes `labels[rows]` taking turns, in the order of the rows within each."""
    of_rows = pd.Series(labels[rows])
    return rows[np.lexsort((of_rows, of_rows.groupby(of_rows).cumcount()))]


ORDERS: Mapping[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "stored": lambda rows, labels, seed: rows,
    "classes in turn": lambda rows, labels, seed: in_turn(rows, labels),
    "shuffled": lambda rows, labels, seed: np.random.default_rng(seed).permutation(rows),
}


def centred(pixels: np.ndarray, augmentation: str) -> np.ndarray:
    """What evaluation sees of uint8 [N, H, W, 3]."""
    seen = centre_view(rearrange(torch.from_numpy(pixels), "n y x c -> n c y x"), augmentation)
    return rearrange(seen, "n c y x -> n y x c").numpy()
