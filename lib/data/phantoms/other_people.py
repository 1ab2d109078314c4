"""People of no drawn set that is tested on, before other cameras, to train starting weights on.

`phantom-people-other` are drawn as phantom-people are, `phantom-wardrobe-other` as phantom-wardrobe. Nine in ten are
there to train on, the tenth to see how well.
"""

from dataclasses import replace
from pathlib import Path

from lib.data.phantoms.market_layout import Street
from lib.data.phantoms.people import draw_street
from lib.data.phantoms.person_drawing import changed

DEFAULT_IMAGES = 6000
VERSION = 1  # raise it whenever the same seed would draw other pictures
SEED = 7_000_002  # no other set's
OTHERS = Street("phantom-people-other", SEED, is_train=lambda identity: identity % 10 != 0)
OTHER_WARDROBES = replace(OTHERS, title="phantom-wardrobe-other", dressed=changed)


def draw_other_people(root: Path, images: int = DEFAULT_IMAGES, street: Street = OTHERS) -> Path:
    """Draw about `images` pictures of the people of `street` into the folder `root`, once; returns `root`.

    Raises:
        WorkbookValueError, WorkbookError: as `draw_people`.
    """
    return draw_street(root, VERSION, images, street)
