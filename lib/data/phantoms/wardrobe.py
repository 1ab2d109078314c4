"""phantom-wardrobe: phantom-people who change the colours of all they wear and carry from camera to camera.

On disk exactly as Market-1501 is. Who somebody is follows from build, from the clothes' pattern and cut, and from what is
worn on the head and carried; before each camera all colours are drawn anew, hair's and skin's included. So whoever
compares colours, place by place or at all, stays at chance but for the shapes that the colours outline, and whoever
reads the five shapes off the drawing finds almost everybody: two people may be dressed alike, and a badge or a rucksack
is hidden from one side.
"""

from pathlib import Path

from lib.data.phantoms.market_layout import Street
from lib.data.phantoms.people import draw_street
from lib.data.phantoms.person_drawing import changed

DEFAULT_IMAGES = 1600
VERSION = 1  # raise it whenever the same seed would draw other pictures
SEED = 7_000_004  # nobody of phantom-people is here


def draw_wardrobe(root: Path, images: int = DEFAULT_IMAGES, seed: int = SEED) -> Path:
    """Draw about `images` pictures into the folder `root`, once, as `draw_people` does; returns `root`.

    Raises:
        WorkbookValueError, WorkbookError: as `draw_people`.
    """
    return draw_street(root, VERSION, images, Street("phantom-wardrobe", seed, dressed=changed))
