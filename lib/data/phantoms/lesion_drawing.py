"""Draws one phantom lesion and the views of it: a texture inside a shape, on skin, under a dermoscope.

Colour follows Beer-Lambert: what is seen is light × skin × exp(-density × absorption), where the density holds the
lesion's shape and texture and the absorption its pigment. Nothing here knows of classes. Only the texture and the
shape are given; colour, size, contrast, light and distractors come from one distribution for all lesions.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 160, 120  # pixels of a drawn image
CANVAS = 168  # pixels a side of the square on which a lesion is drawn before a view turns and scales it

SKINS = np.float32([[0.93, 0.77, 0.72], [0.88, 0.70, 0.57], [0.80, 0.69, 0.72], [0.90, 0.66, 0.65]])  # RGB
MELANIN, BLOOD = np.float32([0.42, 0.80, 1.15]), np.float32([0.28, 1.05, 0.72])  # absorption in R, G, B
INK = np.float32([0.28, 0.24, 0.55])

_Y, _X = np.mgrid[:CANVAS, :CANVAS].astype(np.float32) - CANVAS / 2
_ANGLE, _DISTANCE = np.arctan2(_Y, _X), np.hypot(_X, _Y)
_FRAME_Y, _FRAME_X = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)


def smooth_noise(rng: np.random.Generator, cells: int, height: int, width: int) -> np.ndarray:
    """Noise [height, width] of about unit variance whose bumps are about `width / cells` pixels wide."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(x / 2)  # 1 / (1 + exp(-x)) would overflow far from the edge


# --- the global half of a class: the lesion's outline as radius over angle, in units of the mean radius ---


def _ellipse(angle: np.ndarray, aspect: float) -> np.ndarray:
    return 1 / np.sqrt(np.cos(angle) ** 2 / aspect + np.sin(angle) ** 2 * aspect)


def _lobed(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    depth, lobes = rng.uniform(0.15, 0.24), rng.choice([4, 5, 6])
    uneven = angle + rng.uniform(0.0, 0.3) * np.sin(angle)
    return (1 + depth * np.cos(lobes * uneven)) / np.sqrt(1 + depth**2 / 2)  # the disc's area


SHAPES: dict[str, Callable] = {
    "round": lambda angle, rng: _ellipse(angle, rng.uniform(1.0, 1.2)),
    "elongated": lambda angle, rng: _ellipse(angle, rng.uniform(1.7, 2.3)),
    "lobed": _lobed,
}


# --- the local half of a class: a dark pattern that looks the same all over the lesion ---


def _lattice(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Three waves at 60 degrees: peaks on a triangular lattice, valleys on the honeycomb around them."""
    return np.cos(x) + np.cos(x / 2 + y * 0.866) + np.cos(x / 2 - y * 0.866)


TEXTURES: dict[str, Callable] = {
    "dots": _lattice,
    "network": lambda x, y: -_lattice(x, y),  # the same frequencies as the dots: only what is dark differs
    "streaks": lambda x, y: np.cos(x),
}


def outline(shape: Callable, rng: np.random.Generator) -> np.ndarray:
    """How much of each canvas pixel is lesion, 0..1 [CANVAS, CANVAS]; the area does not depend on the shape.

    `shape(angles, rng)` is the radius over the angle, in units of the mean radius.
    """
    size, softness = rng.uniform(29, 36), rng.uniform(1.2, 4.0)  # pixels
    angle = _ANGLE + rng.uniform(0, 2 * np.pi)
    radius = size * shape(angle, rng)
    for waves in range(3, 9):
        radius = radius + size * rng.normal(0, 0.10 / waves) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    return _sigmoid((radius - _DISTANCE) / softness)


def marks_of(
    texture: Callable,
    inside: np.ndarray,
    rng: np.random.Generator,
    wavelengths: tuple[float, float] = (12.0, 14.0),
    turns: tuple[float, float] = (0, 2 * np.pi),
) -> np.ndarray:
    """The texture's dark marks, 0..1 [CANVAS, CANVAS]; they cover the same share of a lesion whatever the texture.

    `texture(x, y)` is a pattern over two phases in radians, whose wavelength in pixels and whose turn are drawn between
    the limits given.
    """
    bend_x, bend_y = (2.6 * smooth_noise(rng, 8, CANVAS, CANVAS) for _ in range(2))
    turn, wave = rng.uniform(*turns), 2 * np.pi / rng.uniform(*wavelengths)  # radians; radians a pixel
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = wave * (cos * _X + sin * _Y + bend_x), wave * (cos * _Y - sin * _X + bend_y)
    field = texture(x, y) + 0.45 * smooth_noise(rng, 24, CANVAS, CANVAS)
    levels = np.linspace(0, 1, 33)
    rank = np.interp(field, np.quantile(field[inside][::5], levels), levels)  # or histograms would tell textures apart
    ramp = np.clip((rank.astype(np.float32) - 0.45) / 0.4, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def draw_lesion(
    texture: str, shape: str, views: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields `views` images, uint8 [HEIGHT, WIDTH, 3], each with its lesion mask, uint8 0 or 255 [HEIGHT, WIDTH].

    `texture` is one of TEXTURES, `shape` one of SHAPES. The views share outline, texture, pigment and skin; each has
    its own pose, light and distractors.
    """
    alpha = outline(SHAPES[shape], rng)
    marks = marks_of(TEXTURES[texture], alpha > 0.5, rng)
    blotches = np.exp(0.2 * smooth_noise(rng, 5, CANVAS, CANVAS) + 0.1 * smooth_noise(rng, 20, CANVAS, CANVAS))
    fading = _sigmoid(1.8 + 2 * smooth_noise(rng, 5, CANVAS, CANVAS))  # here and there a lesion has no marks
    # A contrast from 0 on: some lesions hardly show their texture, so that no network is perfect and there is room to differ.
    ground, contrast, depth = rng.uniform((0.35, 0.00, 0.8), (0.60, 0.75, 1.7)).tolist()
    density = depth * alpha * blotches * (ground + contrast * marks * fading)
    redness = rng.beta(1.2, 2.5)
    pigment = (1 - redness) * MELANIN + redness * BLOOD
    skin = rng.dirichlet(np.full(len(SKINS), 0.6)).astype(np.float32) @ SKINS
    for _ in range(views):
        pose = random_pose(rng)
        seen = skin * np.exp(-coloured(posed(density, pose), pigment) - coloured(_flush(rng), BLOOD))
        add_distractors(seen, rng)
        image = np.clip(255 * seen * _light(rng) + 0.5, 0, 255).astype(np.uint8, order="C")
        yield image, np.where(posed(alpha, pose) > 0.5, np.uint8(255), np.uint8(0))


def random_pose(rng: np.random.Generator, turns: tuple[float, float] = (0, 2 * np.pi)) -> tuple[float, ...]:
    """A random turn, scale and small shift, as PIL's six numbers that lead from the frame back to the canvas."""
    turn, scale = rng.uniform(*turns), rng.uniform(0.9, 1.15)
    x, y = WIDTH / 2 + rng.normal(0, 5), HEIGHT / 2 + rng.normal(0, 4)
    cos, sin = math.cos(turn) / scale, math.sin(turn) / scale
    return cos, sin, CANVAS / 2 - cos * x - sin * y, -sin, cos, CANVAS / 2 + sin * x - cos * y


def posed(layer: np.ndarray, pose: tuple[float, ...]) -> np.ndarray:
    """A layer of the canvas [CANVAS, CANVAS] as it lies in the frame by a pose of `random_pose`: float32 [HEIGHT, WIDTH],
    bilinear, 0 beyond the canvas."""
    picture = Image.fromarray(layer.astype(np.float32, copy=False))
    return np.asarray(picture.transform((WIDTH, HEIGHT), Image.Transform.AFFINE, pose, Image.Resampling.BILINEAR))


def coloured(layer: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """`layer` [H, W] times each of the three of `colour`: [H, W, 3], in memory one plane after the other, and so is what
    is reckoned from it: numpy is quicker over planes than over pixels of three numbers."""
    return np.moveaxis(np.multiply.outer(colour, layer), 0, -1)


def _flush(rng: np.random.Generator) -> np.ndarray:
    """The density of blood in the skin around its mean [HEIGHT, WIDTH]: redder here and there, with a fine grain."""
    flush = 0.05 * smooth_noise(rng, 4, HEIGHT, WIDTH) + 0.025 * smooth_noise(rng, 16, HEIGHT, WIDTH)
    return flush + 0.012 * rng.standard_normal((HEIGHT, WIDTH), dtype=np.float32)


def _light(rng: np.random.Generator) -> np.ndarray:
    """Brightness, colour cast and vignette of one exposure, a factor for [HEIGHT, WIDTH, 3]."""
    colour = rng.uniform(0.86, 1.06) * rng.normal(1, 0.03, 3).astype(np.float32)
    if rng.random() < 0.5:
        return colour
    x, y = rng.normal(WIDTH / 2, 6), rng.normal(HEIGHT / 2, 5)
    reach, fade = rng.uniform(78, 110), rng.uniform(4, 16)  # pixels
    distance = np.hypot(_FRAME_X - x, _FRAME_Y - y)
    return coloured(_sigmoid((reach - distance) / fade), colour)


# --- distractors: they say nothing of the class ---


def add_distractors(seen: np.ndarray, rng: np.random.Generator) -> None:
    """Paints hairs, a ruler, gel bubbles and ink over `seen`, in place, each on some images only."""
    for chance, stroke, colour in (
        (0.15, _ink, INK),
        (0.35, _hairs, np.float32([0.20, 0.13, 0.11])),
        (0.12, _ruler, np.float32([0.20, 0.18, 0.20])),
        (0.15, _bubbles, np.float32([1.0, 0.98, 0.97])),
    ):
        if rng.random() < chance:
            layer = Image.new("L", (2 * WIDTH, 2 * HEIGHT))  # drawn at twice the size, so that lines are smooth
            stroke(ImageDraw.Draw(layer), rng)
            cover = np.asarray(layer.reduce(2), dtype=np.float32)[..., None] / 255
            seen += cover * (colour - seen)


def _curve(start: np.ndarray, bend: np.ndarray, end: np.ndarray) -> list[float]:
    """Points x, y, x, y, … of a curve that leaves `start` towards `bend` and comes to `end`."""
    t = np.linspace(0, 1, 16)[:, None]
    return ((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end).ravel().tolist()


def _hairs(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for _ in range(1 + rng.poisson(2.5)):
        start, end = rng.uniform((-40, -40), (2 * WIDTH + 40, 2 * HEIGHT + 40), (2, 2))
        bend = (start + end) / 2 + rng.normal(0, 40, 2)
        pen.line(_curve(start, bend, end), fill=int(rng.integers(120, 220)), width=int(rng.integers(1, 4)))


def _ruler(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    edge = rng.choice([0, 2 * HEIGHT])
    for number, x in enumerate(np.arange(rng.uniform(0, 60), 2 * WIDTH, rng.uniform(9, 14))):
        length = 22 if number % 5 == 0 else 12
        pen.line([x, edge, x, abs(edge - length)], fill=190, width=2)


def _bubbles(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(2, 9)):
        x, y, r = rng.uniform(0, 2 * WIDTH), rng.uniform(0, 2 * HEIGHT), rng.uniform(4, 14)
        pen.ellipse([x - r, y - r, x + r, y + r], fill=25, outline=120, width=2)
        pen.ellipse([x - r / 2, y - r / 2, x - r / 6, y - r / 6], fill=220)


def _ink(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    corner = np.array([rng.choice([0, 2 * WIDTH]), rng.choice([0, 2 * HEIGHT])])
    stroke = _curve(*(corner + rng.normal(0, 60, (3, 2))))
    pen.line(stroke, fill=int(rng.integers(90, 170)), width=int(rng.integers(12, 22)), joint="curve")
