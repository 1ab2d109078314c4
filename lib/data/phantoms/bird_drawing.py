"""Draws one phantom bird: a bird-like body, any way round, whose small parts carry all that tells it apart.

Nothing here knows of classes. Marks (the colours of crown, wing patch and tail band, the beak's length, a ring round
the eye) are given; pose, size, place, plumage, light and scenery come from one distribution for all birds. Berries in
the scenery have the marks' colours, so that it matters where a colour is and not whether it is there.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lib.data.phantoms.cub_layout import Drawn
from lib.data.phantoms.lesion_drawing import smooth_noise

SIDE, FINE = 128, 3  # pixels of a drawn image; drawn that many times as large, so that edges are smooth
COLOURS = {"red": (205, 45, 40), "yellow": (235, 195, 40), "blue": (50, 90, 205)}
BEAKS = {"short": 0.3, "long": 0.8}  # lengths in half body lengths
PARTS = ("beak", "crown", "eye", "wing", "tail")
PLUMAGE = np.float32([[150, 125, 100], [120, 120, 122], [128, 126, 88], [95, 84, 78], [165, 150, 128]])  # RGB
SCENES = np.float32(
    [[[170, 195, 215], [205, 215, 215]], [[70, 110, 60], [150, 170, 105]], [[165, 140, 105], [110, 120, 80]]]
)


@dataclass(frozen=True)
class Marks:
    """What tells one kind of bird from another."""

    crown: str  # one of COLOURS
    wing: str
    tail: str
    beak: str  # one of BEAKS
    ring: bool


class _Pen:
    """Draws in the bird's own units, half body lengths: facing right, y downwards, the body's middle at 0, 0."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.layer = Image.new("RGBA", (SIDE * FINE, SIDE * FINE))
        self.draw = ImageDraw.Draw(self.layer)
        scale, turn = rng.uniform(22, 30), rng.uniform(-0.55, 0.35)  # pixels a unit; radians
        cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
        side = 1 if rng.random() < 0.5 else -1  # which way it looks
        self.turning = np.array([[side * cos, -side * sin], [sin, cos]])
        margin = 1.75 * scale
        self.place = np.clip(rng.normal(SIDE / 2, 12, 2), margin, SIDE - margin)

    def at(self, points: np.ndarray) -> np.ndarray:
        """[n, 2] in the bird's units to pixels of the picture."""
        return np.atleast_2d(points) @ self.turning.T + self.place

    def polygon(self, points: np.ndarray, colour: np.ndarray) -> None:
        self.draw.polygon((self.at(points) * FINE).ravel().tolist(), fill=(*np.clip(colour, 0, 255).astype(int), 255))


def draw_bird(marks: Marks, rng: np.random.Generator) -> Drawn:
    """One bird with `marks`; everything else is drawn from `rng`."""
    scene = _scenery(rng)
    pen = _Pen(rng)
    _branch(scene, pen, rng)
    places = _bird(pen, marks, rng)
    bird = np.asarray(pen.layer.reduce(FINE), dtype=np.float32)
    cover = bird[..., 3:] / 255
    feathers = 1 + 0.05 * smooth_noise(rng, 32, SIDE, SIDE)[..., None]
    feathers = feathers + np.linspace(1, -1, SIDE)[:, None, None] * rng.uniform(0.0, 0.12)  # light falls from above
    seen = np.asarray(scene, dtype=np.float32) * (1 - cover) + bird[..., :3] * feathers * cover
    hidden = _leaf(places, rng)
    leaf = np.asarray(hidden, dtype=np.float32)[..., None] / 255
    seen = seen * (1 - leaf) + np.float32([75, 120, 55]) * rng.uniform(0.7, 1.2) * leaf
    light = rng.uniform(0.75, 1.15) * rng.normal(1, 0.04, 3)
    noisy = seen * light + rng.normal(0, rng.uniform(1, 5), (SIDE, SIDE, 1))
    parts = {name: (x, y, _is_seen(x, y, hidden)) for name, (x, y) in places.items()}
    return Drawn(np.clip(noisy + 0.5, 0, 255).astype(np.uint8), _box(cover[..., 0] > 0.5), parts)


def _is_seen(x: float, y: float, hidden: Image.Image) -> bool:
    return 0 <= x < SIDE and 0 <= y < SIDE and hidden.getpixel((int(x), int(y))) < 128


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(x[0]), int(y[0]), int(x[-1] - x[0] + 1), int(y[-1] - y[0] + 1)


# --- the bird ---


def _ellipse(
    x: float, y: float, width: float, height: float, turn: float = 0, span: tuple = (0, 2 * np.pi)
) -> np.ndarray:
    """Points [40, 2] of an ellipse (half axes `width`, `height`) or, over less than a turn, of a segment of it."""
    angle = np.linspace(*span, 40)
    cos, sin = math.cos(turn), math.sin(turn)
    along, across = width * np.cos(angle), height * np.sin(angle)
    return np.stack([x + cos * along - sin * across, y + sin * along + cos * across], axis=1)


def _bird(pen: _Pen, marks: Marks, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Draws it; returns where its parts are, in pixels of the picture."""
    back = rng.dirichlet(np.full(len(PLUMAGE), 0.7)) @ PLUMAGE * rng.uniform(0.75, 1.1)
    belly, wing = back * rng.uniform(1.15, 1.5) + 15, back * rng.uniform(0.7, 0.9)
    stout = rng.uniform(0.48, 0.64)
    places = {"tail": _tail(pen, back * 0.85, marks.tail, rng)}
    for x in (-0.05, 0.25):
        pen.polygon([[x, 0.3], [x + 0.07, 0.3], [x + 0.13, 1.1], [x + 0.06, 1.1]], np.array([90, 70, 55]))
    pen.polygon(_ellipse(0, 0, 1.0, stout), back)
    pen.polygon(_ellipse(0.08, 0.16 * stout / 0.5, 0.86, 0.72 * stout), belly)
    places |= _head(pen, back, marks, rng)
    places["wing"] = _wing(pen, wing, marks.wing, rng)
    return {name: tuple(pen.at(place)[0].tolist()) for name, place in places.items()}


def _shades(name: str, rng: np.random.Generator) -> np.ndarray:
    """One of COLOURS as a bird has it: a little lighter, darker, duller."""
    return np.array(COLOURS[name]) * rng.uniform(0.8, 1.1) + rng.normal(0, 12, 3)


def _swung(turn: float, root: tuple[float, float], points: list) -> np.ndarray:
    """Points [n, 2], along and across a wing or a tail that leads backwards from its `root`, in the bird's units."""
    cos, sin = math.cos(turn), math.sin(turn)
    along, across = np.transpose(points)
    return np.stack([root[0] - cos * along + sin * across, root[1] - sin * along - cos * across], axis=1)


def _tail(pen: _Pen, colour: np.ndarray, mark: str, rng: np.random.Generator) -> tuple[float, float]:
    turn, length, spread = rng.uniform(-0.35, 0.45), rng.uniform(1.0, 1.35), rng.uniform(0.2, 0.32)
    swung = partial(_swung, turn, (-0.75, 0.02))
    pen.polygon(swung([[0, -0.2], [0, 0.2], [length, spread], [length, -spread]]), colour)
    near, far = length - 0.65, length - 0.1
    low, high = (0.2 + (spread - 0.2) * along / length for along in (near, far))
    pen.polygon(swung([[near, -low], [near, low], [far, high], [far, -high]]), _shades(mark, rng))
    return tuple(swung([[(near + far) / 2, 0.0]])[0])


def _head(pen: _Pen, colour: np.ndarray, marks: Marks, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    x, y = rng.uniform(0.82, 1.0), rng.uniform(-0.72, -0.52)
    radius, nod = rng.uniform(0.42, 0.48), rng.uniform(-0.4, 0.4)
    cos, sin = math.cos(nod), math.sin(nod)

    def on(along: float, up: float) -> tuple[float, float]:  # from the head's middle, in its radii
        return x + radius * (cos * along + sin * up), y + radius * (sin * along - cos * up)

    pen.polygon([(0.35, -0.42), on(-0.9, 0.2), on(0.5, -0.85), (0.92, 0.1)], colour)  # the neck
    length = BEAKS[marks.beak] * rng.uniform(0.9, 1.1) / radius
    horn = np.array([70, 60, 50]) * rng.uniform(0.7, 1.3)
    pen.polygon([on(0.8, 0.3), on(0.92 + length, -0.12), on(0.8, -0.36)], horn)
    pen.polygon(_ellipse(x, y, radius, radius), colour)
    pen.polygon(_ellipse(x, y, radius, radius, nod, (-np.pi - 0.05, -0.35)), _shades(marks.crown, rng))
    eye = on(0.42, 0.12)
    if marks.ring:
        pen.polygon(_ellipse(*eye, 0.23, 0.23), np.array([250, 248, 240]))
    pen.polygon(_ellipse(*eye, 0.095, 0.095), np.array([20, 15, 15]))
    return {"beak": on(0.92 + length / 2, 0.0), "crown": on(-0.2, 0.72), "eye": eye}


def _wing(pen: _Pen, colour: np.ndarray, mark: str, rng: np.random.Generator) -> tuple[float, float]:
    swung = partial(_swung, rng.uniform(-0.12, 0.3), (0.3, -0.1))
    feathers = [[-0.12, 0], [0, 0.3], [0.5, 0.36], [1, 0.2], [1.4, -0.02], [0.9, -0.22], [0.3, -0.3], [0, -0.2]]
    pen.polygon(swung(feathers), colour)
    middle = rng.uniform(0.42, 0.6)
    patch = np.add([[-0.3, 0.22], [0.22, 0.28], [0.32, -0.16], [-0.22, -0.22]], [middle, 0.02])
    pen.polygon(swung(patch.tolist()), _shades(mark, rng))
    return tuple(swung([[middle, 0.03]])[0])


# --- what is around it: says nothing of the marks ---


def _scenery(rng: np.random.Generator) -> Image.Image:
    """Sky, leaves or earth out of focus, with leaves and berries."""
    far, near = SCENES[rng.integers(len(SCENES))] + rng.normal(0, 10, (2, 3))
    mixed = np.clip(0.5 + 0.35 * smooth_noise(rng, 5, SIDE, SIDE) + 0.08 * smooth_noise(rng, 24, SIDE, SIDE), 0, 1)
    scene = Image.fromarray(np.clip(far + (near - far) * mixed[..., None], 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(scene)
    for _ in range(rng.integers(6, 22)):
        _blob(draw, np.array([70, 115, 55]) * rng.uniform(0.6, 1.4) + rng.normal(0, 14, 3), rng.uniform(3, 11), rng)
    for _ in range(rng.integers(1, 6)):
        _blob(draw, _shades(str(rng.choice(list(COLOURS))), rng), rng.uniform(2, 5.5), rng)
    return scene.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.4)))


def _blob(draw: ImageDraw.ImageDraw, colour: np.ndarray, size: float, rng: np.random.Generator) -> None:
    points = _ellipse(*rng.uniform(0, SIDE, 2), size, size * rng.uniform(0.5, 1), rng.uniform(0, np.pi))
    draw.polygon(points.ravel().tolist(), fill=tuple(np.clip(colour, 0, 255).astype(int)))


def _branch(scene: Image.Image, pen: _Pen, rng: np.random.Generator) -> None:
    """What it stands on, from edge to edge, through its feet."""
    x, y = pen.at([0.15, 1.1])[0]
    slope, width = rng.uniform(-0.3, 0.3), int(rng.integers(4, 9))
    ends = [-5, y - slope * (x + 5), SIDE + 5, y + slope * (SIDE + 5 - x)]
    brown = np.array([95, 72, 52]) * rng.uniform(0.7, 1.3)
    ImageDraw.Draw(scene).line(ends, fill=tuple(brown.astype(int).tolist()), width=width)


def _leaf(places: dict[str, tuple[float, float]], rng: np.random.Generator) -> Image.Image:
    """The cover, 0..255, of a leaf that hides one part of one bird in six."""
    cover = Image.new("L", (SIDE * FINE, SIDE * FINE))
    if rng.random() < 1 / 6:
        x, y = np.array(places[str(rng.choice(PARTS))]) + rng.normal(0, 2, 2)
        points = _ellipse(x, y, rng.uniform(9, 14), rng.uniform(5, 8), rng.uniform(0, np.pi)) * FINE
        ImageDraw.Draw(cover).polygon(points.ravel().tolist(), fill=255)
    return cover.reduce(FINE)
