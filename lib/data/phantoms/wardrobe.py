"""phantom-wardrobe: phantom-people who change the colours of their clothes from camera to camera.

On disk exactly as Market-1501 is. Who somebody is follows from build, from the clothes' pattern and cut, and from what is
worn on the head and carried, hair, skin and shoes; before each camera the clothes' colours are drawn anew. So whoever
compares colours place by place stays near chance, and whoever reads pattern, hat, bag and legs off the drawing finds
almost everybody: two people may be dressed alike, and a badge or a rucksack is hidden from one side.

What solves it in part is the recipe `wardrobe`: seconds of fine-tuning from weights that have learned other people by what
stays when they change clothes. In mAP (30 November 2026, five seeds each): chance 0.03, raw pixels 0.05, SA 0.33 to 0.36,
DCAL 0.33 to 0.37, a reader of the four shapes 0.91. From weights that know people by their colours both stay at 0.04 (one seed).
"""

from pathlib import Path

from lib.data.phantoms.market_layout import Street
from lib.data.phantoms.people import draw_street
from lib.data.phantoms.person_drawing import changed

DEFAULT_IMAGES = 1600
VERSION = 2  # raise it whenever the same seed would draw other pictures
SEED = 7_000_004  # nobody of phantom-people is here


def draw_wardrobe(root: Path, images: int = DEFAULT_IMAGES, seed: int = SEED) -> Path:
    """Draw about `images` pictures into the folder `root`, once, as `draw_people` does; returns `root`.

    Raises:
        WorkbookValueError, WorkbookError: as `draw_people`.
    """
    return draw_street(root, VERSION, images, Street("phantom-wardrobe", seed, dressed=changed))
