"""Mosaics of c×c tiles of 4×4 light and dark squares each: what phantom-needles and phantom-marks are drawn of.

Half of a tile's squares are light. So are half of a code's, a tile that means something, and any two codes agree in
exactly half of their squares, as a code and a tile drawn at random do on average (the rows of a Hadamard matrix are such,
whatever the order of their squares): no brightness, edge or single square tells a code, but all of it together.
"""

import math

import numpy as np

SQUARES = 4  # a side of a tile, in squares
PIXELS = 2  # a side of a square, in pixels
TILE = SQUARES * PIXELS  # a side of a tile
NOISE = 0.5  # standard deviation of a pixel, where light is 1 and dark −1
DARK, LIGHT = np.array([58, 70, 110]), np.array([198, 182, 142])  # colours without noise


def _codes() -> np.ndarray:
    rows = np.ones((1, 1), dtype=int)
    for _ in range(SQUARES):
        rows = np.kron(rows, [[1, 1], [1, -1]])
    order = np.random.default_rng(0).permutation(SQUARES**2)  # in their own order the rows are stripes and chequers
    return rows[1:, order].reshape(-1, SQUARES, SQUARES)


CODES = _codes()  # [15, 4, 4], 1 is light and −1 dark


def random_tiles(side: int, rng: np.random.Generator) -> np.ndarray:
    """The tiles of a mosaic of `side`² tiles, [side², 4, 4] of 1 and −1, half of each light."""
    tiles = np.tile(np.repeat([1, -1], SQUARES**2 // 2), (side**2, 1))
    return rng.permuted(tiles, axis=1).reshape(-1, SQUARES, SQUARES)


def worn(code: np.ndarray, wear: float, rng: np.random.Generator) -> np.ndarray:
    """`code` [4, 4] with each square turned over with probability `wear`."""
    return np.where(rng.random(code.shape) < wear, -code, code)


def picture_of(tiles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tiles [side², 4, 4], row by row, and noise → uint8 [8·side, 8·side, 3]"""
    side = math.isqrt(len(tiles))
    squares = tiles.reshape(side, side, SQUARES, SQUARES).swapaxes(1, 2).reshape(side * SQUARES, side * SQUARES)
    shade = squares.repeat(PIXELS, 0).repeat(PIXELS, 1)
    shade = shade + NOISE * rng.standard_normal(shade.shape)
    colours = DARK + (shade[..., None] + 1) / 2 * (LIGHT - DARK)
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)


def middle_of(tile: int, side: int) -> tuple[float, float]:
    """x and y, in pixels, of the middle of tile number `tile` of a mosaic of `side`² tiles."""
    y, x = divmod(tile, side)
    return (x + 0.5) * TILE, (y + 0.5) * TILE


def box_of(tile: int, side: int) -> tuple[float, float, float, float]:
    """x, y, width and height, in pixels, of tile number `tile` of a mosaic of `side`² tiles."""
    y, x = divmod(tile, side)
    return x * TILE, y * TILE, TILE, TILE
