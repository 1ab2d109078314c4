"""phantom-birds: drawn birds on disk exactly as CUB-200-2011 is, whose ten kinds differ in small parts only.

Crown, wing patch and tail band have the same three colours in every kind, in another order, and each order belongs to
two kinds, which the length of the beak or a ring round the eye tells apart: the big marks alone name one bird in two,
and a colour's presence, wherever it is, none. Where the parts are is known (`lib.data.sets.cub.load_parts`).
"""

from pathlib import Path

import numpy as np
from PIL import Image

from lib.data.phantoms.bird_drawing import PARTS, Drawn, Marks, draw_bird
from lib.data.phantoms.draw_once import draw_once, too_few
from lib.progress import Progress

DEFAULT_IMAGES = 3000
VERSION = 1  # raise it whenever the same seed would draw other pictures
LEAST = 6  # images of a kind: fewer cannot be split into training, validation and test
KINDS: dict[str, Marks] = {
    "Alder_Phantom": Marks("red", "yellow", "blue", "short", False),
    "Birch_Phantom": Marks("red", "yellow", "blue", "long", False),
    "Cedar_Phantom": Marks("red", "blue", "yellow", "short", True),
    "Elm_Phantom": Marks("red", "blue", "yellow", "short", False),
    "Fir_Phantom": Marks("yellow", "red", "blue", "long", True),
    "Hazel_Phantom": Marks("yellow", "red", "blue", "short", False),
    "Juniper_Phantom": Marks("yellow", "blue", "red", "short", True),
    "Larch_Phantom": Marks("yellow", "blue", "red", "long", True),
    "Maple_Phantom": Marks("blue", "red", "yellow", "long", False),
    "Rowan_Phantom": Marks("blue", "red", "yellow", "long", True),
}


def draw_birds(root: Path, images: int = DEFAULT_IMAGES, seed: int = 0) -> Path:
    """Draw `images` birds of 128×128 pixels, equally many of each kind, into the folder `root`, once; returns `root`.

    Every third of a kind is a test image. More images add birds and change none.

    Raises:
        WorkbookValueError: `images` is too small for six of every kind, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    if images < LEAST * len(KINDS):
        raise too_few(images, f"{LEAST} of each of {len(KINDS)} kinds", LEAST * len(KINDS))
    return draw_once(root, "phantom-birds", VERSION, images, seed, lambda folder: _write(folder, images, seed))


def bird(kind: str, number: int, seed: int = 0) -> Drawn:
    """The picture and the truth of one bird: a function of its arguments alone."""
    return draw_bird(KINDS[kind], np.random.default_rng([seed, list(KINDS).index(kind), number]))


def _write(folder: Path, images: int, seed: int) -> None:
    lists: dict[str, list[str]] = {
        "classes.txt": [f"{i} {i:03d}.{kind}" for i, kind in enumerate(KINDS, 1)],
        "parts/parts.txt": [f"{i} {part}" for i, part in enumerate(PARTS, 1)],
    }
    for i, kind in enumerate(KINDS, 1):
        (folder / "images" / f"{i:03d}.{kind}").mkdir(parents=True)
    (folder / "parts").mkdir()
    with Progress(images, "Drawing phantom-birds") as bar:
        for image in range(1, images + 1):
            number, place = divmod(image - 1, len(KINDS))
            kind = list(KINDS)[place]
            file = f"{place + 1:03d}.{kind}/{kind}_{number + 1:04d}.jpg"
            drawn = bird(kind, number, seed)
            Image.fromarray(drawn.picture).save(folder / "images" / file, quality=92)
            for name, line in _lines(drawn, place + 1, number % 3 < 2, file):
                lists.setdefault(name, []).append(f"{image} {line}")
            bar.advance()
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n")


def _lines(drawn: Drawn, kind: int, is_train: bool, file: str) -> list[tuple[str, str]]:
    """What CUB-200-2011's lists say of an image, after its number: (list, line)."""
    parts = [
        ("parts/part_locs.txt", f"{i} {x:.1f} {y:.1f} 1" if seen else f"{i} 0.0 0.0 0")
        for i, (x, y, seen) in enumerate((drawn.parts[part] for part in PARTS), 1)
    ]
    box = " ".join(f"{side:.1f}" for side in drawn.box)
    return [
        ("images.txt", file),
        ("image_class_labels.txt", str(kind)),
        ("train_test_split.txt", str(int(is_train))),
        ("bounding_boxes.txt", box),
        *parts,
    ]
