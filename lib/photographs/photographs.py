"""Photographs as a network is shown them, on the road that `TestImages` take to figures, views and scores."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from lib.data.decoding import decode, on_all_cores, picture_size
from lib.data.image_files import pictures_below
from lib.data.image_names import IMAGE_SUFFIXES
from lib.data.imageset import refuse_unreadable
from lib.errors import WorkbookFileError, positive
from lib.paths import given_path
from lib.photographs.brought_network import BroughtNetwork
from lib.photographs.viewpoints import VIEWPOINTS
from lib.photographs.wheels import wheel_photographs
from lib.training.inference import network_input, predict_batch

BATCH = 32  # that are answered at once
SHARPER = 4  # times the pixels that are needed along a side: more of a large file is averaged while it is decoded


@dataclass(frozen=True)
class Photographs:
    """N photographs; nothing is known of what they show but their names."""

    names: tuple[str, ...]  # of the files, without suffix
    whole: tuple[np.ndarray, ...]  # uint8 [H, W, 3] each: the pictures that networks are shown crops of
    size: tuple[int, int]  # (height, width) of what they are shown
    viewpoints: tuple[str, ...]  # of each, in VIEWPOINTS

    masks = None  # what figures and views ask of images
    is_phantom = False

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, places: slice | list[int] | np.ndarray) -> "Photographs":
        """Those at `places`, in that order."""
        rows = np.arange(len(self))[places]
        chosen = {name: tuple(getattr(self, name)[i] for i in rows) for name in ("names", "whole", "viewpoints")}
        return replace(self, **chosen)

    @property
    def shown(self) -> np.ndarray:
        """uint8 [N, h, w, 3], what networks are shown."""
        views = zip(self.whole, self.viewpoints, strict=True)
        return np.stack([VIEWPOINTS[viewpoint].shown(picture, self.size) for picture, viewpoint in views])

    @property
    def sharp(self) -> np.ndarray:
        """The same, under the name by which figures ask for what people look at."""
        return self.shown

    @property
    def groups(self) -> np.ndarray:
        """Of which photograph each is a view [N]: several views of one are no independent cases."""
        return np.array(self.names)

    def seen_from(self, *viewpoints: str) -> "Photographs":
        """All of them from each viewpoint in turn, [len(viewpoints) · N]."""
        times = len(viewpoints)
        seen = tuple(viewpoint for viewpoint in viewpoints for _ in self.names)
        return replace(self, names=self.names * times, whole=self.whole * times, viewpoints=seen)

    def batch(self, model: nn.Module) -> Tensor:
        """All of them, normalised for `model`, on the CPU: float [N, 3, h, w]."""
        return network_input(model, self.shown).cpu()

    def probabilities(self, model: nn.Module) -> np.ndarray:
        """What `model`, in eval mode, answers: float32 [N, K]."""
        shown = self.shown
        return np.concatenate([predict_batch(model, shown[at : at + BATCH]) for at in range(0, len(self), BATCH)])

    def titles(self, classes: tuple[str, ...], answers: np.ndarray) -> list[str]:
        """'file → answer' of each."""
        return [f"{name} → {classes[answer]}" for name, answer in zip(self.names, answers, strict=True)]


def find_photographs(folder: str | Path | None = None, most: int | None = None) -> list[Path]:
    """The images below `folder`, in order of their paths, `most` at most; None are those of the wheel.

    Raises:
        WorkbookFileError: there is no such folder, or no image in it. WorkbookValueError: `most` is below 1.
    """
    if most is not None:
        positive(most=most)
    if folder is None:
        return wheel_photographs()[:most]
    place = given_path(folder, "images")
    if not place.is_dir():
        raise WorkbookFileError(
            f"{place} is no folder; give one that holds photographs, or images=None for the wheel's."
        )
    paths = sorted(Path(path) for path in pictures_below(place))
    if not paths:
        raise WorkbookFileError(
            f"The folder {place} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); put photographs there, or give "
            "images=None for the wheel's."
        )
    return paths[:most]


def take_photographs(paths: list[Path], network: BroughtNetwork, skip_unreadable: bool = False) -> Photographs:
    """The photographs as `network` is shown them: the shorter side resized, then the middle.

    Raises:
        WorkbookFileError: one cannot be read, unless these may be skipped; or none can.
    """
    decoded = list(on_all_cores(lambda path: network.resized(_sharp(path, network.shorter_side)), paths))
    refuse_unreadable([str(picture) for picture in decoded if isinstance(picture, WorkbookFileError)], skip_unreadable)
    read = [(path, picture) for path, picture in zip(paths, decoded, strict=True) if isinstance(picture, np.ndarray)]
    if not read:
        raise WorkbookFileError(f"None of the {len(paths)} photographs can be read: give others.")
    kept, pictures = zip(*read, strict=True)
    return Photographs(_names_of(kept), pictures, network.size, ("as shown",) * len(kept))


def _sharp(path: Path, shorter: int) -> np.ndarray:
    """The picture in as many pixels as resizing to a `shorter` side can make use of."""
    width, height = picture_size(path)
    scale = min(1, SHARPER * shorter / min(width, height))
    return decode(path, (round(height * scale), round(width * scale)))


def _names_of(paths: Sequence[Path]) -> tuple[str, ...]:
    """A name each, no two alike: the file's without suffix, or as much of its path as tells it from the others."""
    root = os.path.commonpath([path.parent for path in paths])
    below = [path.relative_to(root) for path in paths]
    short, longer = [path.stem for path in below], [path.with_suffix("").as_posix() for path in below]
    named = (names for names in (short, longer) if len({*names}) == len(paths))
    return tuple(next(named, [path.as_posix() for path in below]))
