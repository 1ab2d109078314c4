"""phantom-people: drawn pedestrians on disk exactly as Market-1501 is, seen by six cameras.

A person is a combination of clothes and of what is carried; cameras differ in scenery, light, sharpness and in the
side from which they see people. Half of the identities are there to train on, the other half to search for.
"""

from pathlib import Path

from lib.data.phantoms.draw_once import draw_once, too_few
from lib.data.phantoms.market_layout import LEAST, Street, write_market

DEFAULT_IMAGES = 1600
VERSION = 1  # raise it whenever the same seed would draw other pictures


def draw_people(root: Path, images: int = DEFAULT_IMAGES, seed: int = 0) -> Path:
    """Draw about `images` pictures of 64×128 pixels into the folder `root`, once; returns `root`.

    One identity in twenty images, an even number of them, half to train on; 1,600 images are 40 and 40.

    Raises:
        WorkbookValueError: `images` is too small for four identities on either side, or `seed` is negative.
        WorkbookError: as `draw_once`.
    """
    return draw_street(root, VERSION, images, Street("phantom-people", seed))


def draw_street(root: Path, version: int, images: int, street: Street) -> Path:
    """Draw about `images` pictures of the people of `street` into the folder `root`, once: see `draw_people`."""
    identities = 2 * round(images / street.images_an_identity / 2)
    if identities < 2 * LEAST:
        enough = round(2 * LEAST * street.images_an_identity)
        raise too_few(images, f"{LEAST} identities to train on and {LEAST} to test", enough)
    return draw_once(
        root, street.title, version, images, street.seed, lambda folder: write_market(folder, street, identities)
    )
