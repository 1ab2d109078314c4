"""Pictures made of square tiles, as a network that cuts an image into patches sees it: each tile shows one glyph.

Since every tile is one patch, what a network can know is a question of which patches it brings together.
"""

from collections.abc import Mapping

import numpy as np

from lib.data.phantoms.cub_layout import Drawn

TILE = 8  # pixels a side
DIRECTIONS = {"row": 0, "column": 90, "falling": 45, "rising": 135}  # degrees, clockwise as the picture is seen
BARS = tuple(DIRECTIONS)  # the four glyphs that differ in their direction alone
HUES = {"red": (205, 60, 60), "green": (60, 155, 70), "blue": (70, 90, 215)}
GROUND, NOISE = 128, 16  # grey of all that no glyph covers; standard deviation of each pixel's light

_y, _x = np.mgrid[:TILE, :TILE] - (TILE - 1) / 2


def bar(degrees: float) -> np.ndarray:
    """A bar through the middle of a tile, [TILE, TILE] of bool."""
    turn = np.deg2rad(degrees)
    return abs(_y * np.cos(turn) - _x * np.sin(turn)) < 1.2


def radius(norm: float = 2) -> np.ndarray:
    """How far each pixel of a tile lies from its middle, [TILE, TILE], pixels: in circles, or with np.inf in squares."""
    return np.linalg.norm([_y, _x], norm, axis=0)


GLYPHS = {
    **{name: bar(degrees) for name, degrees in DIRECTIONS.items()},
    "disc": radius() < np.sqrt(11),
    "full": np.full((TILE, TILE), True),
    "blank": np.full((TILE, TILE), False),
}


class Mosaic:
    """A mosaic of `rows` × `columns` tiles, blank at first.

    Args:
        masks: the glyphs that it can show, name → [TILE, TILE].
    """

    def __init__(self, rows: int, columns: int, masks: Mapping[str, np.ndarray] = GLYPHS) -> None:
        self.masks = masks
        self.glyphs = np.full((rows, columns), "blank", dtype=object)
        self.colours = np.full((rows, columns, 3), GROUND, dtype=np.float64)

    def put(self, place: tuple[int, int], glyph: str, colour: np.ndarray | tuple[float, ...]) -> None:
        """Show `glyph`, the name of a mask, in a colour (RGB, 0 to 255) on the tile at `place` (row, column)."""
        self.glyphs[place], self.colours[place] = glyph, colour

    def picture(self, rng: np.random.Generator) -> np.ndarray:
        """uint8 [rows · TILE, columns · TILE, 3] under a light and with a noise of `rng`."""
        rows, columns = self.glyphs.shape
        masks = np.stack([self.masks[name] for name in self.glyphs.flat]).reshape(rows, columns, TILE, TILE, 1)
        tiles = GROUND + masks * (self.colours[:, :, None, None] - GROUND)
        seen = tiles.transpose(0, 2, 1, 3, 4).reshape(rows * TILE, columns * TILE, 3)
        lit = seen + rng.normal(0, 6, 3) + rng.normal(0, NOISE, (*seen.shape[:2], 1))
        return np.clip(lit + 0.5, 0, 255).astype(np.uint8)


def shade(colour: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """A colour (RGB, 0 to 255), a little lighter or darker: [3]."""
    return np.array(colour) * rng.uniform(0.85, 1.15)


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
