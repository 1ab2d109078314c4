"""Pictures made of square tiles, as a network that cuts an image into patches sees it: each tile shows one glyph.

Since every tile is one patch, what a network can know is a question of which patches it brings together.
"""

import numpy as np

from lib.data.phantoms.cub_layout import Drawn

TILE = 8  # pixels a side
BARS = ("row", "column", "falling", "rising")  # the four glyphs that differ in their direction alone
HUES = {"red": (205, 60, 60), "green": (60, 155, 70), "blue": (70, 90, 215)}
GROUND, NOISE = 128, 16  # grey of all that no glyph covers; standard deviation of each pixel's light

_y, _x = np.mgrid[:TILE, :TILE] - (TILE - 1) / 2
GLYPHS = {
    "row": abs(_y) < 1.2,
    "column": abs(_x) < 1.2,
    "falling": abs(_y - _x) < 1.6,
    "rising": abs(_y + _x) < 1.6,
    "disc": _y**2 + _x**2 < 11,
    "full": abs(_y) < TILE,
    "blank": abs(_y) > TILE,
}


class Mosaic:
    """A mosaic of `rows` × `columns` tiles, blank at first."""

    def __init__(self, rows: int, columns: int) -> None:
        self.glyphs = np.full((rows, columns), "blank", dtype=object)
        self.colours = np.full((rows, columns, 3), GROUND, dtype=np.float64)

    def put(self, place: tuple[int, int], glyph: str, colour: np.ndarray | tuple[float, ...]) -> None:
        """Show `glyph`, one of GLYPHS, in a colour (RGB, 0 to 255) on the tile at `place` (row, column)."""
        self.glyphs[place], self.colours[place] = glyph, colour

    def picture(self, rng: np.random.Generator) -> np.ndarray:
        """uint8 [rows · TILE, columns · TILE, 3] under a light and with a noise of `rng`."""
        rows, columns = self.glyphs.shape
        masks = np.stack([GLYPHS[name] for name in self.glyphs.flat]).reshape(rows, columns, TILE, TILE, 1)
        tiles = GROUND + masks * (self.colours[:, :, None, None] - GROUND)
        seen = tiles.transpose(0, 2, 1, 3, 4).reshape(rows * TILE, columns * TILE, 3)
        lit = seen + rng.normal(0, 6, 3) + rng.normal(0, NOISE, (*seen.shape[:2], 1))
        return np.clip(lit + 0.5, 0, 255).astype(np.uint8)


def shade(hue: str, rng: np.random.Generator) -> np.ndarray:
    """One of HUES, a little lighter or darker: RGB [3]."""
    return np.array(HUES[hue]) * rng.uniform(0.85, 1.15)


def drawn(mosaic: Mosaic, parts: dict[str, tuple[float, float] | None], rng: np.random.Generator) -> Drawn:
    """The mosaic's picture, its parts at the middles of their tiles, and the box round all of them.

    Args:
        parts: name → (row, column), a half between two tiles; None is a part that is not there.
    """
    here = np.array([place for place in parts.values() if place is not None])
    (top, left), (bottom, right) = here.min(0) * TILE, (here.max(0) + 1) * TILE
    places = {
        name: (0.0, 0.0, False) if place is None else ((place[1] + 0.5) * TILE, (place[0] + 0.5) * TILE, True)
        for name, place in parts.items()
    }
    return Drawn(mosaic.picture(rng), (left, top, right - left, bottom - top), places)
