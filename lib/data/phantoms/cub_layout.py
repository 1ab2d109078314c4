"""Drawn images on disk exactly as CUB-200-2011 is: classes, boxes, parts and the official split in numbered lists."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lib.data.phantoms.draw_once import draw_once, too_few
from lib.progress import Progress

LEAST = 6  # images of a kind: fewer cannot be split into training, validation and test


@dataclass(frozen=True)
class Drawn:
    """A picture, uint8 [H, W, 3], its object's box (x, y, width, height) and its parts' (x, y, visible), in pixels.

    Parts are the places that decide the class.
    """

    picture: np.ndarray
    box: tuple[float, float, float, float]
    parts: dict[str, tuple[float, float, bool]]


def is_test(number: int) -> bool:
    """Whether picture `number` of a kind, from 0, is a test image: every third is."""
    return number % 3 == 2


def draw_cub_once(
    root: Path,
    name: str,
    version: int,
    kinds: Sequence[str],
    parts: Sequence[str],
    images: int,
    seed: int,
    draw: Callable[[str, int], Drawn],
    least: int = LEAST,
) -> Path:
    """Let `write_cub` draw the set `name` into the folder `root`, once; returns `root`.

    Raises:
        WorkbookValueError: `images` is too small for `least` of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    if images < least * len(kinds):
        raise too_few(images, f"{least} of each of {len(kinds)} kinds", least * len(kinds))
    return draw_once(
        root, name, version, images, seed, lambda folder: write_cub(folder, name, kinds, parts, images, draw)
    )


def write_cub(
    folder: Path,
    title: str,
    kinds: Sequence[str],
    parts: Sequence[str],
    images: int,
    draw: Callable[[str, int], Drawn],
) -> None:
    """Draw `images` pictures into the empty `folder`: of each kind in turn, `draw(kind, number)` with its numbers from 0.

    More images add pictures and change none.

    Args:
        title: the set's name, for the progress bar.
        kinds: names of the classes. `parts`: names of the parts, all of which `draw` tells.
    """
    lists: dict[str, list[str]] = {
        "classes.txt": [f"{i} {i:03d}.{kind}" for i, kind in enumerate(kinds, 1)],
        "parts/parts.txt": [f"{i} {part}" for i, part in enumerate(parts, 1)],
    }
    for i, kind in enumerate(kinds, 1):
        (folder / "images" / f"{i:03d}.{kind}").mkdir(parents=True)
    (folder / "parts").mkdir()
    with Progress(images, f"Drawing {title}") as bar:
        for image in range(1, images + 1):
            number, place = divmod(image - 1, len(kinds))
            kind = kinds[place]
            file = f"{place + 1:03d}.{kind}/{kind}_{number + 1:04d}.jpg"
            drawn = draw(kind, number)
            Image.fromarray(drawn.picture).save(folder / "images" / file, quality=92)
            for name, line in _lines(drawn, parts, place + 1, number, file):
                lists.setdefault(name, []).append(f"{image} {line}")
            bar.advance()
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n")


def _lines(drawn: Drawn, parts: Sequence[str], kind: int, number: int, file: str) -> list[tuple[str, str]]:
    """What CUB-200-2011's lists say of an image, after its number: (list, line)."""
    places = [
        ("parts/part_locs.txt", f"{i} {x:.1f} {y:.1f} 1" if seen else f"{i} 0.0 0.0 0")
        for i, (x, y, seen) in enumerate((drawn.parts[part] for part in parts), 1)
    ]
    box = " ".join(f"{side:.1f}" for side in drawn.box)
    return [
        ("images.txt", file),
        ("image_class_labels.txt", str(kind)),
        ("train_test_split.txt", str(int(not is_test(number)))),
        ("bounding_boxes.txt", box),
        *places,
    ]
