"""Draws one pattern: a texture inside a shape, neither of which any lesion has, in any colours.

What small networks learn before they see a lesion, a bird or a grating: edges, corners, frequencies, directions. Half of
the pictures have the colours of skin, half have any. Wavelengths, contrasts and grain are wider than a lesion's.
"""

from collections.abc import Callable

import numpy as np

from lib.data.phantoms.cub_layout import Drawn
from lib.data.phantoms.lesion_drawing import (
    BLOOD,
    CANVAS,
    HEIGHT,
    MELANIN,
    SKINS,
    WIDTH,
    add_distractors,
    marks_of,
    outline,
    posed,
    random_pose,
    smooth_noise,
)

ANY_TURN, UPRIGHT = (0.0, 2 * np.pi), (-0.12, 0.12)  # radians
WAVELENGTHS = (8.0, 18.0)  # pixels of the canvas

# --- textures: patterns over two phases in radians ---


def _triangle(x: np.ndarray) -> np.ndarray:
    """A wave of straight flanks between -1 and 1, with the period of a cosine."""
    return 1 - np.abs((x / np.pi) % 2 - 1) * 2


def _tiled(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance from, and angle at, the middle of the nearest of square tiles that are three waves wide."""
    side = 6 * np.pi
    x, y = ((axis + side / 2) % side - side / 2 for axis in (x, y))
    return np.hypot(x, y), np.arctan2(y, x)


def _rings(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.cos(_tiled(x, y)[0])


def _spirals(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    distance, angle = _tiled(x, y)
    return np.cos(distance - 2 * angle)


def _weave(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    over = np.sin(x / 4) * np.sin(y / 4) > 0
    return np.where(over, np.cos(x), np.cos(y))


def _crosses(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.cos(x) + np.cos(y / 3), np.cos(y) + np.cos(x / 3))


# Name → pattern and turns. Of those that stand upright the direction is part of the kind.
TEXTURES: dict[str, tuple[Callable, tuple[float, float]]] = {
    "rings": (_rings, ANY_TURN),
    "spirals": (_spirals, ANY_TURN),
    "weave": (_weave, ANY_TURN),
    "crosses": (_crosses, ANY_TURN),
    "checks": (lambda x, y: np.cos(x) * np.cos(y), UPRIGHT),
    "diamonds": (lambda x, y: np.cos((x + y) * np.sqrt(0.5)) * np.cos((x - y) * np.sqrt(0.5)), UPRIGHT),
    "chevrons": (lambda x, y: np.cos(y + 2 * _triangle(x / 3)), UPRIGHT),
    "arrows": (lambda x, y: np.cos(x + 2 * _triangle(y / 3)), UPRIGHT),
}


# --- shapes: radius over angle, in units of the mean radius ---


def _polygon(corners: list[complex]) -> Callable:
    """The radius of a polygon whose corners are seen in this order, each of them, from 0."""
    ends = np.array([*corners, corners[0]])

    def radius(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        stretched = ends.real * rng.uniform(0.9, 1.1) + 1j * ends.imag
        bearings = np.angle(stretched[:-1] / stretched[0]) % (2 * np.pi)
        turned = (angle - np.angle(stretched[0])) % (2 * np.pi)
        side = np.searchsorted(bearings, turned, side="right") - 1
        start, edge = stretched[:-1][side], np.diff(stretched)[side]
        ray = np.exp(1j * angle)
        found = (start.conj() * edge).imag / (ray.conj() * edge).imag
        return found / np.sqrt(np.mean(found**2))

    return radius


def _star(points: int, depth: float) -> list[complex]:
    return [(1 if i % 2 == 0 else depth) * np.exp(1j * np.pi * i / points) for i in range(2 * points)]


def _heart(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    found = 1 - rng.uniform(0.5, 0.65) * np.exp(-((np.angle(np.exp(1j * angle)) / 0.45) ** 2))  # a notch …
    found = found + 0.35 * np.exp(-((np.angle(-np.exp(1j * angle)) / 0.4) ** 2))  # … and a point opposite
    return found / np.sqrt(np.mean(found**2))


SHAPES: dict[str, Callable] = {
    "star": _polygon(_star(5, 0.45)),
    "cross": _polygon(_star(4, 0.5)),
    "triangle": _polygon([np.exp(2j * np.pi * i / 3) for i in range(3)]),
    "square": _polygon([1j**i for i in range(4)]),
    "kite": _polygon([1.6, 0.7j, -0.6, -0.7j]),
    "heart": _heart,
}


def draw_pattern(texture: str, shape: str, rng: np.random.Generator) -> Drawn:
    """One picture of `texture` (of TEXTURES) inside `shape` (of SHAPES); everything else is drawn from `rng`."""
    alpha = outline(SHAPES[shape], rng)
    pattern, turns = TEXTURES[texture]
    marks = marks_of(pattern, alpha > 0.5, rng, WAVELENGTHS, turns)
    ground, contrast, depth = rng.uniform((0.2, 0.25, 0.8), (0.6, 0.9, 1.7)).tolist()
    density = depth * alpha * (ground + contrast * marks) * np.exp(0.15 * smooth_noise(rng, 5, CANVAS, CANVAS))
    pose = random_pose(rng, turns)
    skin, pigment = _skin(rng) if rng.random() < 0.5 else _any_colours(rng)
    cloud = 0.06 * smooth_noise(rng, 4, HEIGHT, WIDTH) + 0.03 * smooth_noise(rng, 16, HEIGHT, WIDTH)
    seen = skin * np.exp(-posed(density, pose)[..., None] * pigment - cloud[..., None])
    add_distractors(seen, rng)
    picture = _photograph(seen, rng)
    y, x = (np.flatnonzero((posed(alpha, pose) > 0.5).any(axis)) for axis in (1, 0))
    box = float(x[0]), float(y[0]), float(x[-1] - x[0] + 1), float(y[-1] - y[0] + 1)
    return Drawn(picture, box, {"middle": (box[0] + box[2] / 2, box[1] + box[3] / 2, True)})


def _skin(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The colour of the ground and what the pattern absorbs, each [3]: of skin."""
    redness = rng.random()
    return rng.dirichlet(np.full(len(SKINS), 0.6)) @ SKINS, (1 - redness) * MELANIN + redness * BLOOD


def _any_colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same, of anything: a dark pattern on a bright ground or, as often, a bright one on a dark ground."""
    sign = rng.choice([-1, 1])
    ground = rng.uniform(0.55, 0.95, 3) if sign > 0 else rng.uniform(0.15, 0.35, 3)
    return ground, sign * rng.uniform(0.25, 1.0, 3)


def _photograph(seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [H, W, 3]: a camera of its own, whose colours, contrast and grain are drawn for each picture."""
    mixed = seen @ (np.eye(3) + rng.normal(0, 0.05, (3, 3)))
    toned = np.clip(mixed, 0, 1) ** rng.uniform(0.7, 1.3)
    grain = rng.uniform(0, 0.06) * rng.standard_normal((HEIGHT, WIDTH, 1))
    return np.clip(255 * (toned + grain) + 0.5, 0, 255).astype(np.uint8)
